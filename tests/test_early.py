"""What is refused before anything heavy is imported, in words that say what to do."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import cli
from stylegan_core.images import read_photo
from stylegan_core.photo_files import photo_problem

ROOT = Path(__file__).resolve().parent.parent
# Commands that are refused, and their exit codes: 2 for usage, 1 for an input that cannot be used.
REFUSED = {
    "edit gone.jpg --transfer smile": 1,
    "edit gone.npz --transfer smil": 2,
    "edit a.jpg --region noze": 2,
    "edit a.jpg --set smyle=1": 2,
    "invert .": 1,
    "invert x.mp4": 1,
    "invert a.jpg --device nowhere": 2,
    "smile": 2,
    "batch . --recipe gone.toml": 2,
    "batch recipe.toml photos": 2,
    "batch gone": 1,
    "batch status gone": 1,
    "video gone.mp4": 2,
    "interpolate 1": 2,
    "directions show smil": 2,
    "directions list --generator faces25": 2,
    "channels fit --generator gone.pkl": 2,
    "encoder train --generator gone.pkl --out e.safetensors": 2,
    "dials fit --generator faces128": 2,
    "scorecard --methods projekt": 2,
    "scorecard --data gone.zip": 1,
    "generate --seeds 5-": 2,
    "generate --device nowhere": 2,
    "mix --row gone.npz --column 1": 2,
    "train --data . --preset stylegan5": 2,
    "train --data gone.zip": 1,
    "dataset make gone out.zip": 1,
    "dataset inspect gone.zip": 1,
    "restorer train": 2,
    "restorer train --data gone": 1,
    "restorer train --data . --steps 0": 2,
    "evaluate gone.pkl": 2,
    "evaluate gone.pkl --scores ppl-w-end": 1,
    "evaluate --scores ppl": 2,
    "convert gone.pkl out.safetensors": 1,
    "info gone": 1,
    "report gone": 1,
    "expression save gone.jpg --out x.json": 1,
    "human-eval gone also-gone": 1,
    "human-eval run . . --pairs 0": 2,
    "studio --port 99999": 2,
    "studio --device nowhere": 2,
    "studio --generator gone.pkl": 2,
    "models fetch gone": 1,
    "completion tcsh": 2,
    # an --out that cannot be, and data without a picture
    "edit a.jpg --transfer smile --out a.jpg": 2,
    "invert a.jpg --out a.jpg/x": 2,
    "generate --out a.jpg": 2,
    "train --data . --out a.jpg": 2,
    "sample a.jpg/x.png": 2,
    "directions find --moves yaw --name x --out .": 2,
    "convert faces256 empty": 2,
    "evaluate --out empty": 2,
    "evaluate --out a.jpg/scores.json": 2,
    "human-eval run . . --out empty": 2,
    "report gone --to empty": 2,
    "batch export gone --csv empty": 2,
    "scorecard --data empty": 1,
    "scorecard --data a.jpg": 1,
    "evaluate --data empty": 1,
    "encoder train --data empty --out e.safetensors": 1,
    "encoder cotrain --init gone.pkl --data .": 1,
    "video empty --transfer smile": 2,
}
# Runs them all in one process, and says what each ended with and whether torch was imported by then.
REFUSALS = """
import json, sys
import cli
from click.testing import CliRunner
found = {}
for line in json.loads(sys.argv[1]):
    result = CliRunner().invoke(cli.main, line.split())
    found[line] = result.exit_code, result.output, "torch" in sys.modules
json.dump(found, sys.stdout)
"""


def run(*words, code):
    result = CliRunner().invoke(cli.main, [str(word) for word in words])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result.output


@pytest.fixture
def photo(astronaut, tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(astronaut[:200, 140:300]).save(path)
    return path


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--transfer", "smil"], "did you mean smile?"),
        (["--transfer", "smile=0.5"], "written smile:0.5"),
        (["--transfer", "smile", "0.5"], "--transfer smile:0.5"),
        (["--transfer", "smile", "age"], "--transfer age"),
        (["--transfer", "smile:auto", "--target", "80"], "no probability"),
        (["--transfer", "age:auto"], "no age in years"),
        (["--transfer", "smile", "--keep", "gendr"], "did you mean gender?"),
        (["--transfer", "smile:auto", "--judge", "hapy"], "did you mean happy?"),
        (["--transfer", "smile", "--generator", "faces25"], "did you mean faces256?"),
        (["--transfer", "smile", "--start", "none.npz"], "--start none.npz: no such file"),
        (["--transfer", "smile", "--photo", "gone.jpg"], "--photo gone.jpg: no such file"),
        (["--crossover", "gone.npz"], "no file or folder"),
        (
            ["--truncate", "0.5", "--layers", "fine"],
            "--layers means nothing with --truncate; it belongs to",
        ),
        ([], "nothing to do"),
    ],
)
def test_a_mistake_in_a_command_is_named_before_the_photo_is_read_and_exits_with_2(photo, tmp_path, words, text):
    assert text in run("edit", photo, *words, "--out", tmp_path / "o", code=2)
    assert not (tmp_path / "o").exists()


def test_a_pair_of_which_one_is_an_option_is_named(photo):
    assert "takes two" in run("edit", photo, "--transfer-from", photo, "--out", "X", code=2)


def test_an_auto_target_fits_the_judge_that_is_named(photo, tmp_path):
    words = ["--transfer", "age:auto", "--judge", "happy", "--target", "40"]
    assert "what happy is judged by" in run("edit", photo, *words, "--out", tmp_path, code=2)


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("empty.jpg", b"", "the file is empty"),
        ("film.mp4", b"x", "`invertigo video"),
        ("text.jpg", b"no image", "no image format"),
        ("gone.jpg", None, "no such file"),
    ],
)
def test_what_is_no_photo_has_words_of_its_own(tmp_path, name, content, text):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    assert text in run("invert", path, "--out", tmp_path / "o", code=1)
    assert text in run("edit", path, "--transfer", "smile", "--out", tmp_path / "o", code=1)


def test_a_folder_names_batch_and_a_truncated_jpeg_says_so(photo, tmp_path):
    assert "`invertigo batch" in run("invert", tmp_path, "--out", tmp_path / "o", code=1)
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(photo.read_bytes()[:2000])
    assert "cut short after 2,000 bytes" in run("invert", cut, "--out", tmp_path / "o", code=1)


def test_heic_is_read_where_its_extra_is_and_names_it_where_it_is_not(photo, tmp_path, monkeypatch):
    heif = pytest.importorskip("pillow_heif")
    path = tmp_path / "a.heic"
    with Image.open(photo) as image:
        heif.from_pillow(image).save(path, quality=95)
        expected = np.asarray(image).astype(int)
    assert photo_problem(str(path)) == ""
    assert np.abs(read_photo(path).rgb - expected).mean() < 6
    monkeypatch.setattr("stylegan_core.photo_files.find_spec", lambda name: None)
    assert "invertigo[heic]" in photo_problem(str(path))


def test_refusals_import_no_torch_and_tell_usage_by_their_exit_code(photo, tmp_path):
    (tmp_path / "empty").mkdir()
    command = [sys.executable, "-c", REFUSALS, json.dumps(list(REFUSED))]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    shown = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    found = json.loads(shown.stdout)
    assert {line: code for line, (code, _, _) in found.items()} == REFUSED
    assert [line for line, (_, _, loaded) in found.items() if loaded] == []
    assert "Traceback" not in str(found)
    assert "--recipe recipe.toml" in found["batch recipe.toml photos"][1]
    assert "took its place" in found["dials fit --generator faces128"][1]
