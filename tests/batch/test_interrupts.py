"""Ctrl-C, through the command line: a clean point soon after, and a word on how to go on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from batch.toy import Negative, contents, make_photos
from inversion.batch import run

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 60.0  # seconds; two are kept where nothing else runs (docs/batch.md), which a test cannot know
RECIPE = '[invert]\nsteps = 12\npatience = 0\n[[edit]]\ntransfer = "smile"\n'


def command(source, recipe, out):
    words = ["batch", source, "--recipe", recipe, "--out", out, "--workers", "2", "--batch-size", "1"]
    return [sys.executable, str(ROOT / "cli.py"), *map(str, words)]


def interrupted(line, ready):
    """Run a command until `ready(process)`, press Ctrl-C as a terminal does; return its exit code and words."""
    # A shell starts what runs in the background with Ctrl-C ignored, and children inherit that: undo it.
    process = subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    while process.poll() is None and not ready(process):
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    words, _ = process.communicate(timeout=LIMIT)
    return process.returncode, words


def is_loading_torch(process):
    try:
        return "libtorch" in Path(f"/proc/{process.pid}/maps").read_text()
    except OSError:  # it ended
        return False


@pytest.fixture
def source(astronaut, tmp_path):
    (tmp_path / "in").mkdir()
    for index in range(8):
        face = Image.fromarray(astronaut[:220, 120 + index : 330 + index])
        face.save(tmp_path / "in" / f"{index}.png")
    (tmp_path / "recipe.toml").write_text(RECIPE)
    return tmp_path / "in"


def test_while_it_loads_ctrl_c_ends_it_in_a_sentence(source, tmp_path):
    line = command(source, tmp_path / "recipe.toml", tmp_path / "out")
    code, words = interrupted(line, is_loading_torch)
    assert code == 130, words
    assert words.startswith("error: interrupted")
    assert words.count("\n") == 1
    assert "same command" in words


def test_an_interrupt_in_a_callback_leaves_a_run_that_goes_on(tmp_path):
    make_photos(tmp_path / "in", [f"{index}.png" for index in range(6)])

    def stop(item, result):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(str(tmp_path / "in"), tmp_path / "out", Negative(delay=0.1), workers=1, batch=2, callback=stop)
    assert not (tmp_path / "out" / ".work").exists()
    summary = run(str(tmp_path / "in"), tmp_path / "out", Negative(), workers=1, batch=2)
    assert (summary.kept, summary.done) == (2, 4)


@pytest.mark.slow
def test_in_mid_run_ctrl_c_stops_it_and_the_same_command_ends_as_if_undisturbed(source, tmp_path):
    recipe = tmp_path / "recipe.toml"
    subprocess.run(command(source, recipe, tmp_path / "undisturbed"), check=True, capture_output=True)
    for number, finished in enumerate((0, 1, 5)):
        out = tmp_path / f"out{number}"
        line = command(source, recipe, out)

        def ready(process, out=out, finished=finished):
            begun = (out / "manifest.sqlite").is_file()
            return begun and len(list(out.glob("*/face0/photo_edited.png"))) >= finished

        code, words = interrupted(line, ready)
        assert code == 130, words
        assert f"error: interrupted; what was finished is in {out}: the same command goes on" in words
        assert "Traceback" not in words
        assert not (out / ".work").exists()
        again = subprocess.run(line, check=True, capture_output=True, text=True)
        assert "8 done" in again.stdout or "done before" in again.stdout
        assert contents(out) == contents(tmp_path / "undisturbed")


@pytest.mark.slow
def test_killed_in_the_middle_of_real_work_the_same_command_ends_as_if_undisturbed(source, tmp_path):
    recipe = tmp_path / "recipe.toml"
    subprocess.run(command(source, recipe, tmp_path / "undisturbed"), check=True, capture_output=True)
    for finished in (0, 2):
        out = tmp_path / f"out{finished}"
        process = subprocess.Popen(command(source, recipe, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not (out / ".work").is_dir() or len(list(out.glob("*/face0/photo_edited.png"))) < finished:
            time.sleep(0.01)
        process.kill()
        process.wait()
        subprocess.run(command(source, recipe, out), check=True, capture_output=True)
        assert contents(out) == contents(tmp_path / "undisturbed")
