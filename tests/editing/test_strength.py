import dataclasses
import json

import numpy as np
import pytest
import torch

from editing.config import SearchConfig
from editing.curve import draw_curve
from editing.editor import Editor
from editing.identity import keep_identity
from editing.judging import as_face, score_codes
from editing.operations.crossover import Crossover
from editing.operations.pair import TransferFrom
from editing.operations.transfer import Transfer
from editing.strength import Point, find_strength, outside_face, search_line
from inversion.faces.judges import JUDGES, identity_distance, judge_region
from inversion.latents import Latent
from stylegan_core.directions import Direction, find_direction, save_direction
from stylegan_core.errors import ConfigError
from stylegan_core.generate import generate_ws
from stylegan_core.networks.protocol import Alignment

PROBABILITY, YEARS = JUDGES["happy"], JUDGES["age"]


def curve(value, identity=lambda s: 0.1 * abs(s), leak=lambda s: 0.0):
    def measure(strength):
        asked.append(strength)
        return Point(strength, value(strength), identity(strength), leak(strength))

    asked: list[float] = []
    return measure


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_the_strength_found_is_the_inverse_of_the_curve():
    found = find_strength(curve(lambda s: sigmoid(3 * s - 4)), PROBABILITY, SearchConfig(target=0.8))
    assert found.reached
    assert found.best.value == pytest.approx(0.8, abs=0.011)
    assert found.best.strength == pytest.approx((np.log(4) + 4) / 3, abs=0.03)


def test_a_target_below_the_face_goes_the_other_way_and_one_met_already_stays():
    found = find_strength(curve(lambda s: 40 + 12 * s), YEARS, SearchConfig(target=22))
    assert found.reached
    assert found.best.strength == pytest.approx(-1.5, abs=0.05)
    still = find_strength(curve(lambda s: 40 + 12 * s), YEARS, SearchConfig(target=40.1))
    assert (still.best.strength, still.reached, len(still.points)) == (0.0, True, 1)


def test_the_smallest_strength_wins_where_the_judge_comes_back_down():
    found = find_strength(curve(lambda s: 0.9 * np.sin(s)), PROBABILITY, SearchConfig(target=0.5))
    assert found.best.strength == pytest.approx(np.arcsin(0.5 / 0.9), abs=0.03)


@pytest.mark.parametrize("floor", [0.02, 0.1, 0.149])
def test_a_budget_that_ends_first_is_kept_said_and_used_up(floor):
    config = SearchConfig(target=0.8, identity_ceiling=floor)
    found = find_strength(curve(lambda s: min(1, 0.5 * s), lambda s: 0.1 * s), PROBABILITY, config)
    assert not found.reached
    assert "identity distance" in found.reason
    assert found.best.identity <= floor
    assert found.best.strength == pytest.approx(floor / 0.1, abs=1e-3)


def test_the_leak_budget_counts_as_well_and_an_unreachable_target_is_named():
    found = find_strength(curve(lambda s: s / 2, leak=lambda s: 0.1 * s), PROBABILITY, SearchConfig())
    assert (found.reached, "outside the face" in found.reason) == (False, True)
    assert found.best.leak <= 0.05
    flat = find_strength(curve(lambda s: 0.1 * sigmoid(s)), PROBABILITY, SearchConfig(max_strength=2))
    assert (flat.reached, flat.reason) == (False, "the target was not reached up to strength 2")
    assert flat.best.strength == 2


def test_a_jump_over_the_target_is_not_called_reached():
    found = find_strength(curve(lambda s: float(s > 0.7)), PROBABILITY, SearchConfig(target=0.5))
    assert not found.reached
    assert found.reason


def test_a_probability_beyond_1_is_refused():
    with pytest.raises(ConfigError, match="no probability"):
        find_strength(curve(lambda s: s), PROBABILITY, SearchConfig(target=60))


def test_outside_the_face_is_what_no_judge_sees():
    mask = outside_face(100, Alignment())
    left, top, right, bottom = judge_region(Alignment())
    assert int((~mask).sum()) == round((right - left) * 100) * round((bottom - top) * 100)
    assert bool(mask[0, 0]) and not bool(mask[56, 50])


@pytest.fixture(scope="module")
def face(faces64):
    ws = generate_ws(faces64, [3])
    return Latent(ws, ws, generator=faces64.meta.fingerprint)


def test_auto_on_renders_hits_its_target_within_005_and_its_report_says_what_the_judge_says(faces64, face, tmp_path):
    editor = Editor(faces64, face)
    search = SearchConfig(target=0.6, identity_ceiling=1.0, leak=1.0)
    latent = editor.apply(Transfer("smile", "auto", search=search)).latent
    value = float(score_codes(faces64, latent.ws, PROBABILITY))
    assert value == pytest.approx(0.6, abs=0.05)
    report = latent.report["strength_search"]
    assert report["best"]["value"] == pytest.approx(value, abs=1e-4)
    assert json.loads(json.dumps(report)) == report
    assert "happy 0.6" in search_line(report)
    assert latent.report["edits"][0]["auto"] is True
    picture = draw_curve(report)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 5


def test_auto_never_breaks_the_identity_ceiling(faces64, face):
    search = SearchConfig(target=0.99, identity_ceiling=0.04)
    edited = Editor(faces64, face).apply(Transfer("smile", "auto", search=search))
    images, latent = (as_face(edited.edited), as_face(edited.inverted)), edited.latent
    assert 0 < float(identity_distance(*images, faces64.meta.alignment)) <= 0.04
    report = latent.report["strength_search"]
    assert (report["reached"], "cannot reach happy" in search_line(report)) == (False, True)


def test_auto_needs_a_judge(faces64, face, tmp_path):
    editor = Editor(faces64, face)
    meta = faces64.meta
    save_direction(tmp_path / "d.npz", Direction("d", torch.ones(1, 1, 256), meta.fingerprint, meta.name))
    with pytest.raises(ConfigError, match="--judge"):
        editor.apply(Transfer(str(tmp_path / "d.npz"), "auto"))
    with pytest.raises(ConfigError, match="no judge is called"):
        Transfer("smile", "auto", search=SearchConfig(judge="joy"))


def test_a_transfer_moves_the_layers_it_names(faces64, face):
    editor = Editor(faces64, face)
    moved = editor.apply(Transfer("smile", 1.0, "2-3"), Transfer("smile", 0.5, "7")).latent
    change = (moved.ws - face.ws).abs().amax(dim=2)[0]
    assert change.nonzero().flatten().tolist() == [2, 3, 7]
    step = find_direction("smile", faces64).vector[:, 0]
    torch.testing.assert_close(moved.ws[:, 2], face.ws[:, 2] + step)
    torch.testing.assert_close(moved.ws[:, 7], face.ws[:, 7] + 0.5 * step)


def test_layers_and_auto_are_read_from_the_text():
    assert Transfer.parse("smile:0.8@4-7") == Transfer("smile", 0.8, "4-7")
    assert Transfer.parse("smile:auto@coarse,8") == Transfer("smile", "auto", "coarse,8")
    assert Transfer.parse("a@b.npz:2") == Transfer("a@b.npz", 2.0)
    assert Transfer.parse("smile", strength="auto") == Transfer("smile", "auto")
    assert Transfer.parse("smile:0.8@4-7", strength=2.0, layers="8", keep="age") == Transfer("smile", 0.8, "4-7", "age")
    assert Crossover.parse("7@coarse") == Crossover("7", "coarse")


def test_what_is_kept_does_not_move(faces64, face, tmp_path):
    meta = faces64.meta
    smile = find_direction("smile", faces64)
    other = dataclasses.replace(smile, vector=smile.vector + torch.randn(1, 1, 256), name="other")
    save_direction(tmp_path / "other.npz", other)
    moved = Editor(faces64, face).apply(Transfer("smile", keep=str(tmp_path / "other.npz"))).latent
    along = (moved.ws - face.ws)[0, 0] @ other.vector[0, 0]
    assert abs(float(along)) < 1e-3 * float(other.vector.norm() * smile.vector.norm())
    assert meta.fingerprint == moved.generator


def test_keeping_identity_brings_the_person_nearer_and_the_step_stays(faces64, face):
    smile = find_direction("smile", faces64).vector.expand(1, faces64.num_ws, -1)
    deviation = torch.ones(256)
    kept = keep_identity(faces64.synthesis, faces64.meta.alignment, face.ws, smile, deviation, layers=range(8))
    along = (kept * smile).sum() / smile.square().sum()
    assert float(along) == pytest.approx(1, abs=1e-4)
    assert torch.equal(kept[:, 8:], smile[:, 8:]) or float((kept - smile)[:, 8:].abs().max()) < 0.05
    images = [as_face(faces64.synthesis(face.ws + step)).detach() for step in (0, smile, kept)]
    before, after = (identity_distance(image, images[0], faces64.meta.alignment) for image in images[1:])
    assert float(after) < 0.8 * float(before)


def test_a_pairs_difference_is_taken_as_far_as_the_named_judge_says(faces64, face):
    smile = find_direction("smile", faces64).vector
    neutral = dataclasses.replace(face, ws=generate_ws(faces64, [9]))
    happy = dataclasses.replace(neutral, ws=neutral.ws + smile)
    editor, search = Editor(faces64, face), SearchConfig(target=0.5, identity_ceiling=1, leak=1, judge="happy")
    latent = editor.apply(TransferFrom((neutral, happy), "auto", search)).latent
    assert float(score_codes(faces64, latent.ws, PROBABILITY)) == pytest.approx(0.5, abs=0.05)
    by_name = editor.apply(Transfer("smile", "auto", search=search)).latent
    torch.testing.assert_close(latent.ws, by_name.ws, atol=1e-3, rtol=0)
    with pytest.raises(ConfigError, match="--judge"):
        TransferFrom((neutral, happy), "auto")


def test_keeping_identity_keeps_what_the_judge_sees_of_the_edit(faces64, face):
    editor = Editor(faces64, face)
    plain, kept = (editor.apply(Transfer("smile", keep=keep)) for keep in ("", "identity"))
    values = [float(score_codes(faces64, code.ws, PROBABILITY)) for code in (face, plain.latent, kept.latent)]
    assert values[2] - values[0] > 0.7 * (values[1] - values[0]) > 0.1
    before, after = (
        float(identity_distance(as_face(item.edited), as_face(item.inverted), faces64.meta.alignment))
        for item in (plain, kept)
    )
    assert after < 0.95 * before
