"""Human evaluation: the statistics against their closed form, the pairs, and answers that survive a stop."""

import dataclasses
import json
import math

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from cli import main
from stylegan_core.errors import ConfigError, DatasetError, OutputError
from stylegan_core.metrics.human import Ballot, HumanConfig, Pair, plan_pairs, rate, read_answers, report
from stylegan_core.metrics.human_pictures import alike, open_pictures
from stylegan_core.seeds import latents_from_seeds

PAIRS = [Pair("a", "x", "left"), Pair("b", "y", "right"), Pair("c", "z", "left")]


@pytest.mark.parametrize(("num", "of"), [(0, 5), (5, 5), (17, 50), (1, 1), (480, 1000)])
def test_the_interval_is_wilsons(num, of):
    z, p = 1.959963984540054, num / of
    centre = (p + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of))
    found = rate(num, of)
    assert found.value == p
    assert (found.low, found.high) == (pytest.approx(centre - half, abs=1e-9), pytest.approx(centre + half, abs=1e-9))


@pytest.mark.parametrize(("num", "of"), [(0, 0), (3, 2), (-1, 4)])
def test_no_answers_make_no_rate(num, of):
    with pytest.raises(ConfigError, match="make no rate"):
        rate(num, of)


def test_every_picture_is_shown_before_any_is_shown_again_and_sides_are_even():
    reals, fakes = [f"r{i}" for i in range(7)], [f"g{i}" for i in range(100)]
    pairs = plan_pairs(reals, fakes, HumanConfig(pairs=700))
    assert all({pair.real for pair in pairs[i : i + 7]} == set(reals) for i in range(0, 700, 7))
    assert len({pair.generated for pair in pairs[:100]}) == 100
    left = sum(pair.real_side == "left" for pair in pairs)
    assert abs(left - 350) < 4 * math.sqrt(700) / 2
    assert plan_pairs(reals, fakes, HumanConfig(pairs=30)) == pairs[:30]  # more pairs go on with the same
    assert plan_pairs(reals, fakes, HumanConfig(pairs=30, seed=1)) != pairs[:30]


def test_matched_pairs_have_one_name_and_say_so_when_there_are_none():
    pairs = plan_pairs(["in/a.jpg", "in/b.png", "in/c.jpg"], ["a.png", "c.png", "d.png"], HumanConfig(matched=True))
    assert {(pair.real, pair.generated) for pair in pairs} == {("in/a.jpg", "a.png"), ("in/c.jpg", "c.png")}
    with pytest.raises(DatasetError, match="leave out --matched"):
        plan_pairs(["a.png"], ["b.png"], HumanConfig(matched=True))
    with pytest.raises(DatasetError, match="have one name"):
        plan_pairs(["a.png"], ["a.png", "other/a.png"], HumanConfig(matched=True))
    with pytest.raises(DatasetError, match="no pictures"):
        plan_pairs([], ["b.png"], HumanConfig())


def test_a_stopped_session_goes_on_and_a_double_click_counts_once(tmp_path):
    path = tmp_path / "answers.json"
    ballot = Ballot(PAIRS, path, {"ask": "real"})
    assert ballot.answer(0, "left") and not ballot.answer(0, "right")
    again = Ballot(PAIRS, path, {"ask": "real"})
    assert again.index == 1 and not again.finished and again.show() == PAIRS[1]
    assert again.answer(1, "left") and again.answer(2, "right")
    assert again.finished and not again.answer(3, "left")
    assert [answer.took_generated for answer in again.answers] == [False, True, True]
    settings, answers = read_answers(path)
    assert settings == {"ask": "real"} and answers == again.answers
    assert not list(tmp_path.glob(".*"))  # nothing half-written is left


def test_answers_to_other_pairs_are_not_gone_on_with(tmp_path):
    path = tmp_path / "answers.json"
    Ballot(PAIRS, path, {"seed": 0}).answer(0, "left")
    with pytest.raises(ConfigError, match="seed differ"):
        Ballot(PAIRS, path, {"seed": 1})
    with pytest.raises(ConfigError, match="its pictures differ"):
        Ballot(PAIRS[1:], path, {"seed": 0})
    with pytest.raises(ConfigError, match="left or right"):
        Ballot(PAIRS, path, {"seed": 0}).answer(1, "both")


def test_an_answer_that_cannot_be_written_is_not_counted(tmp_path):
    (tmp_path / "file").write_text("")
    ballot = Ballot(PAIRS, tmp_path / "file" / "answers.json", {})
    with pytest.raises(OutputError):
        ballot.answer(0, "left")
    assert ballot.index == 0


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": "other"}', "[" * 100_000,
             '{"format": "invertigo human evaluation 1", "settings": {}, "answers": [{"chosen": "up"}]}']
)  # fmt: skip
def test_other_files_are_refused_in_a_sentence(text, tmp_path):
    path = tmp_path / "answers.json"
    path.write_text(text)
    result = CliRunner().invoke(main, ["human-eval", "report", str(path)])
    assert result.exit_code == 2 and "give another file" in result.output


def test_report_gives_each_rate_and_that_of_all(tmp_path):
    for name, chosen in (("ann", "left"), ("ben", "right")):
        ballot = Ballot(PAIRS, tmp_path / f"{name}.json", {"ask": "real", "matched": False})
        for index in range(3):
            ballot.answer(index, chosen)
    result = CliRunner().invoke(main, ["human-eval", "report", str(tmp_path / "ann.json"), str(tmp_path / "ben.json")])
    assert result.exit_code == 0
    ann, ben, everybody, note = result.output.strip().splitlines()
    assert "taken for real 1 of 3 times, 33.3%" in ann and "2 of 3 times, 66.7%" in ben
    all_of_them = rate(3, 6)
    assert f"all: generated or edited taken for real 3 of 6 times, 50.0% [{all_of_them.low:.1%}" in everybody
    assert "50 % is what guessing gives" in note and "not independent" in note
    other = json.loads((tmp_path / "ben.json").read_text())
    other["settings"]["ask"] = "better"
    (tmp_path / "ben.json").write_text(json.dumps(other))
    mixed = [(name, *read_answers(tmp_path / f"{name}.json")) for name in ("ann", "ben")]
    with pytest.raises(ConfigError, match="different questions"):
        report(mixed)


def test_pictures_of_a_pair_differ_in_nothing_but_what_they_show():
    rng = np.random.default_rng(0)
    wide, small = (rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((300, 400), (64, 64)))
    real, fake = alike(wide, small, 512)
    assert real.shape == fake.shape == (64, 64, 3)
    np.testing.assert_array_equal(fake, small)
    expected = Image.fromarray(wide[:, 50:350]).resize((64, 64), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(real, np.asarray(expected))
    before, after = alike(wide, np.ascontiguousarray(wide[::-1]), 200, keep_shape=True)
    assert before.shape == after.shape == (150, 200, 3)
    with pytest.raises(ConfigError, match="16 pixels"):
        alike(wide, small, 8)


def test_samples_are_those_of_generate(tmp_path):
    pictures = open_pictures("faces64", psi=1.0)
    generator = pictures.generator
    z = latents_from_seeds([7], generator.z_dim)
    image = generator.synthesis(generator.mapping(z), noise_mode="const")[0].detach().permute(1, 2, 0)
    shown = pictures.read("seed 7")
    np.testing.assert_allclose(shown, (image.numpy() * 127.5 + 127.5).clip(0, 255), atol=1.5)


def test_settings_of_a_config_are_plain_values():
    assert json.loads(json.dumps(dataclasses.asdict(HumanConfig()))) == dataclasses.asdict(HumanConfig())
