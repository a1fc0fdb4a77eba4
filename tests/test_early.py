"""What is refused before anything heavy is imported, in words that say what to do."""

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
# Runs a command; fails if torch was imported on the way to its refusal.
WITHOUT_TORCH = """
import sys, runpy
sys.argv = ["invertigo", *sys.argv[1:]]
try:
    runpy.run_path("cli.py", run_name="__main__")
finally:
    print("torch imported:", "torch" in sys.modules, file=sys.stderr)
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


@pytest.mark.parametrize(
    "words",
    [
        ["edit", "gone.jpg", "--transfer", "smile"], ["edit", "gone.npz", "--transfer", "smil"], ["invert", "."],
        ["invert", "x.mp4"], ["smile"], ["batch", ".", "--recipe", "gone.toml"], ["video", "gone.mp4"],
        ["directions", "show", "smil"], ["edit", "a.jpg", "--region", "noze"], ["edit", "a.jpg", "--set", "smyle=1"],
        ["scorecard", "--methods", "projekt"], ["scorecard", "--data", "gone.zip"], ["generate", "--seeds", "5-"],
        ["mix", "--row", "gone.npz", "--column", "1"], ["train", "--data", ".", "--preset", "stylegan5"],
        ["train", "--data", "gone.zip"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_refusal_imports_no_torch(words):
    command = [sys.executable, "-c", WITHOUT_TORCH, *words]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "torch imported: False" in shown.stderr
    assert shown.returncode in (1, 2)
