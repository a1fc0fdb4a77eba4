import hashlib
import json
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import cli
from editing.config import SearchConfig
from editing.operations.transfer import Transfer
from editing.operations.truncate import Truncate
from editing.pipeline import EditPipeline
from editing.recipe import Recipe, format_recipe, load_recipe, parse_recipe
from inversion.batch import Item
from inversion.batch.guards import time_limit
from stylegan_core.errors import ConfigError

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples").glob("*.toml"))
GOOD = """
[invert]
steps = 5
faces = "all"
lambda_mse = 3

[[edit]]
transfer = "smile"
strength = 1

[[edit]]
truncate = 0.8

[output]
paste = "full"
[limits]
max_seconds = 9
"""


def test_a_recipe_fills_the_configs():
    recipe = parse_recipe(GOOD)
    assert (recipe.projection.steps, recipe.projection.lambda_mse, recipe.invert.faces) == (5, 3.0, "all")
    assert recipe.edits == (Transfer("smile", 1.0), Truncate(0.8))
    assert (recipe.output.paste, recipe.limits.max_seconds) == ("full", 9.0)
    assert any("truncate to psi 0.8" in line for line in recipe.describe())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_shipped_recipes_are_valid_and_fit_the_default_generator(path, tmp_path):
    assert load_recipe(path).describe()
    result = CliRunner().invoke(cli.main, ["batch", str(tmp_path), "--recipe", str(path), "--out", "x", "--explain"])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[invert]\nstepz = 3", "line 2: stepz is unknown"),
        ("[invert]\n# comment\nsteps = 'many'", "line 3: steps = 'many' should be of type int"),
        ("[invert]\nspace = 'x'", "line 2: space = 'x' is unknown; expected"),
        ("[inverse]\nsteps = 1", r"line 1: \[inverse\] is unknown"),
        ("[edit]\ntransfer = 'smile'", r"line 1: write it as \[\[edit\]\]"),
        ("[[edit]]\ntransfer = 'a'\n[[edit]]\nstrength = 2", "line 3: an .*needs exactly one of"),
        ("[[edit]]\ntransfer = 'a'\ntruncate = 1.0", "line 1: an .*needs exactly one of"),
        ("[output]\npaste = 'glue'", "line 2: paste = 'glue'"),
        ("[limits]\nmax_seconds = true", "line 2: max_seconds = True should be of type float"),
        ("steps = 3", r"line 1: \[steps\] is unknown"),
        ("[invert\n", "line 1"),
        ("[invert]\nbatch = 4", r"line 2: batch is unknown in \[invert\]; the photos that share .* --batch-size"),
        ("[invert]\nsteps = -2", "line 2: steps = -2 is too small; expected -1 or more"),
        ("[invert]\nlr = 0", "line 2: lr = 0 is too small; expected more than 0"),
        ("[invert]\nlambda_mse = inf", "line 2: lambda_mse = inf is not a finite number"),
        ("[invert]\nfaces = 'some'", "line 2: faces = 'some' is neither all"),
        ("x = 1\ninvert.steps = 'x'", r"line 1: \[x\] is unknown.*line 2: steps = 'x'"),
        ("\ninvert = {steps = 'x'}", "line 2: steps = 'x'"),
        ("[limits]\nmax_pixels = 0", "line 2: max_pixels = 0 is too small; expected more than 0"),
        ("[[edit]]\ntransfer = 'a'\nstrength = 'much'", "line 3: strength 'much' should be .* float or 'auto'"),
        ("[[edit]]\ntransfer = 'a'\nstrength = 1000", "line 3: strength 1000 is too large"),
        ("[[edit]]\ntransfer = 'a'\nlayers = 'top'", "line 3: layers 'top' not understood"),
        ("[[edit]]\ntransfer = 'a'\ntarget = 0.5", 'line 3: target is for strength = "auto"'),
        ("[[edit]]\ntransfer = 'a'\nstrength = 'auto'\njudge = 'me'", "line 4: no judge is called 'me'"),
        ("[[edit]]\ntransfer = 'a'\ncutoff = 3", "line 3: cutoff means nothing beside transfer"),
        ("[[edit]]\ntruncate = 0.5\nstrength = 1.0", "line 3: strength means nothing beside truncate"),
        ("[[edit]]\ntransfer_from = ['a']", r"line 2: transfer_from \['a'\] should be 2 texts"),
        ("[[edit]]\ntransfer_from = ['a', 'b']\nstrength = 'auto'", "line 3: .* needs a judge"),
    ],
)
def test_every_mistake_is_named_with_its_line(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_recipe(text)


def test_an_edit_can_say_what_the_command_edit_can():
    text = """
[invert]
method = "hybrid"
tune_steps = 7
[[edit]]
transfer = "smile"
strength = "auto"
layers = "0-5"
keep = "age,identity"
target = 0.7
identity_ceiling = 0.2
leak = 0.01
judge = "happy"
max_strength = 3
[[edit]]
transfer_from = ["neutral/", "smiling.npz"]
strength = -0.5
"""
    recipe = parse_recipe(text)
    auto, pair = recipe.edits
    assert (recipe.projection.steps, recipe.tune.tune_steps) == (-1, 7)
    assert auto.search == SearchConfig(0.7, 0.2, 0.01, "happy", 3.0)
    assert (auto.layers, auto.keep) == ("0-5", "age,identity")
    assert (pair.transfer_from, pair.strength) == (("neutral/", "smiling.npz"), -0.5)
    words = "\n".join(recipe.describe())
    for part in ("till happy says 0.7", "strength 3", "identity distance 0.2", "layers 0-5", "keeping age,identity",
                 "difference of neutral/ and smiling.npz at -0.5"):  # fmt: skip
        assert part in words
    assert parse_recipe(format_recipe(recipe)) == recipe


def test_the_earlier_name_of_a_key_still_works_and_is_said_to_be_one():
    text = "[[edit]]\ntransfer = 'smile'\nstrength = 'auto'\n{} = 0.2"
    old, new = (parse_recipe(text.format(name)) for name in ("identity_floor", "identity_ceiling"))
    assert old == new
    assert old.edits[0].search.identity_ceiling == 0.2
    assert (len(old.notices), new.notices) == (1, ())
    assert "identity_floor is now called identity_ceiling" in old.notices[0]
    with pytest.raises(ConfigError, match=r"line 4: identity_ceiling -1 is too small"):
        parse_recipe(text.format("identity_floor").replace("0.2", "-1"))


def test_batches_begun_before_operations_were_values_go_on():
    old = [  # what the steps of recipes were digested as
        {"transfer": "smile", "strength": 0.5, "layers": "0-3", "crossover": "", "truncate": 1.0, "cutoff": -1,
         "transfer_from": [], "keep": "age", "target": 0.8, "identity_floor": 0.35, "leak": 0.05, "judge": "",
         "max_strength": 4.0},
        {"transfer": "smile", "strength": "auto", "layers": "", "crossover": "", "truncate": 1.0, "cutoff": -1,
         "transfer_from": [], "keep": "", "target": 0.7, "identity_floor": 0.2, "leak": 0.05, "judge": "happy",
         "max_strength": 4.0},
        {"transfer": "", "strength": -0.5, "layers": "", "crossover": "", "truncate": 1.0, "cutoff": -1,
         "transfer_from": ["a", "b.npz"], "keep": "", "target": 0.8, "identity_floor": 0.35, "leak": 0.05, "judge": "",
         "max_strength": 4.0},
        {"transfer": "", "strength": 1.0, "layers": "coarse", "crossover": "7", "truncate": 1.0, "cutoff": -1,
         "transfer_from": [], "keep": "", "target": 0.8, "identity_floor": 0.35, "leak": 0.05, "judge": "",
         "max_strength": 4.0},
        {"transfer": "", "strength": 1.0, "layers": "", "crossover": "", "truncate": 0.5, "cutoff": 4,
         "transfer_from": [], "keep": "", "target": 0.8, "identity_floor": 0.35, "leak": 0.05, "judge": "",
         "max_strength": 4.0},
    ]  # fmt: skip
    text = """
[[edit]]
transfer = "smile"
strength = 0.5
layers = "0-3"
keep = "age"
[[edit]]
transfer = "smile"
strength = "auto"
target = 0.7
identity_ceiling = 0.2
judge = "happy"
[[edit]]
transfer_from = ["a", "b.npz"]
strength = -0.5
[[edit]]
crossover = "7"
layers = "coarse"
[[edit]]
truncate = 0.5
cutoff = 4
"""
    expected = hashlib.sha256(json.dumps([old, {"paste": "auto"}], sort_keys=True).encode()).hexdigest()
    assert parse_recipe(text).digests()[1] == expected


def test_all_mistakes_are_named_at_once():
    with pytest.raises(ConfigError, match=r"line 2.*line 3.*line 5"):
        parse_recipe("[invert]\na = 1\nb = 2\n[output]\nc = 3")


def test_the_key_changes_with_the_recipe_and_with_nothing_else():
    key = EditPipeline(parse_recipe(GOOD)).key
    assert EditPipeline(parse_recipe("# comment\n" + GOOD)).key == key
    assert EditPipeline(parse_recipe(GOOD.replace("0.8", "0.7"))).key != key


def test_what_takes_too_long_is_stopped():
    before = signal.getsignal(signal.SIGALRM)
    began = time.monotonic()
    with pytest.raises(TimeoutError, match=r"longer than the 0\.1 s"), time_limit(0.1):
        time.sleep(60)
    assert time.monotonic() - began < 60
    assert signal.getsignal(signal.SIGALRM) is before


@pytest.fixture(scope="module")
def process():
    recipe = replace(
        parse_recipe(GOOD), output=Recipe().output, limits=Recipe().limits
    )  # its limit is a fast machine's
    return EditPipeline(recipe).open()


def test_a_chunk_inverts_edits_and_pastes_and_names_what_it_could_not(process, astronaut, tmp_path):
    Image.fromarray(astronaut).save(tmp_path / "a.png")
    Image.fromarray(astronaut[:220, 120:330]).save(tmp_path / "b.png")
    Image.new("RGB", (50, 50)).save(tmp_path / "c.png")
    items = [Item(index, str(tmp_path / f"{name}.png"), f"x/{name}") for index, name in enumerate("abcd")]
    results = process(items, tmp_path / "out")
    assert [result.done for result in results] == [True, True, False, False]
    assert "no face found" in results[2].error
    assert "no such file" in results[3].error
    files = set(results[0].outputs)
    assert files == {f"face0/{name}" for name in (
        "latent.npz", "aligned.png", "inverted.png", "comparison.png", "report.json", "edited.png", "photo_edited.png"
    )}  # fmt: skip
    edited = np.asarray(Image.open(tmp_path / "out/x/a/face0/photo_edited.png"))
    changed = (edited != astronaut).any(axis=-1)
    assert changed[:220, 130:320].sum() == changed.sum() > 3000
    report = json.loads((tmp_path / "out/x/a/face0/report.json").read_text())
    assert "seconds" not in report
    assert len(report["edits"]) == 2
    again = process(items, tmp_path / "again")
    assert [result.outputs for result in again] == [result.outputs for result in results]


def test_files_of_an_earlier_recipe_go_and_strangers_files_stay(process, astronaut, tmp_path):
    Image.fromarray(astronaut[:220, 120:330]).save(tmp_path / "b.png")
    place = tmp_path / "out" / "b"
    (place / "face1").mkdir(parents=True)
    (place / "face1" / "old.png").write_text("ours, from before")
    (place / "theirs.png").write_text("a stranger's")
    (result,) = process([Item(1, str(tmp_path / "b.png"), "b", {"face1/old.png": ""})], tmp_path / "out")
    assert result.done
    assert not (place / "face1" / "old.png").exists()
    assert (place / "theirs.png").exists()


def test_the_commands_run_explain_status_and_export(astronaut, tmp_path):
    (tmp_path / "in").mkdir()
    Image.fromarray(astronaut[:220, 120:330]).save(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "bad.png").write_text("no")
    (tmp_path / "r.toml").write_text("[invert]\nsteps = 2\n")
    common = [str(tmp_path / "in"), "--recipe", str(tmp_path / "r.toml"), "--out", str(tmp_path / "out")]

    def invoke(*words, code=0):
        result = CliRunner().invoke(cli.main, ["batch", *words])
        assert result.exit_code == code, result.output
        return result.output

    assert "2 photos" in invoke(*common, "--explain")
    assert not (tmp_path / "out").exists()
    assert "1 done, 1 failed" in invoke("run", *common, "--workers", "1", code=1)
    assert "1 done, 1 failed" in invoke("status", str(tmp_path / "out"))
    assert "1 marked" in invoke("retry", str(tmp_path / "out"))
    invoke("export", str(tmp_path / "out"), "--csv", str(tmp_path / "m.csv"))
    assert "psnr" in (tmp_path / "m.csv").read_text()
