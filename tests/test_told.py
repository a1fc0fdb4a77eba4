"""What commands say is true: progress where no bar is seen, steps, spaces, names; and edits go on after Ctrl-C."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import cli
from editing.edit import with_doubts
from editing.operations.fields import told_code
from inversion.invert_files import STATE_FILE, told_steps
from inversion.latents import Latent, load_latent
from stylegan_core import console as console_module
from stylegan_core.console import Console

ROOT = Path(__file__).resolve().parent.parent


def run(*words, code=0):
    result = CliRunner().invoke(cli.main, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def photo(astronaut, tmp_path):
    path = tmp_path / "me.png"
    Image.fromarray(astronaut[:200, 140:300]).save(path)
    return path


def test_piped_output_gets_lines_of_progress_and_quiet_none(capsys, monkeypatch):
    monkeypatch.setattr(console_module, "LINE_EVERY", 0.0)
    for quiet in (False, True):
        with Console(quiet=quiet).progress("me face0", 3) as update:
            update(1, 0.5)
            update(2, 0.25)
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["me face0: 1 of 3, loss 0.5000", "me face0: 2 of 3, loss 0.2500"]


def test_no_line_comes_sooner_than_it_is_due(capsys):
    with Console().progress("me", 1000) as update:
        for step in range(1000):
            update(step, 0.5)
    assert len(capsys.readouterr().out.splitlines()) <= 1


def test_tuning_steps_are_told():
    assert told_steps({"steps_taken": 200}) == "200 steps"
    assert told_steps({"steps_taken": 200, "tuning": {"steps_taken": 400}}) == "200 steps and 400 of tuning"
    assert told_steps({"steps_taken": 50, "features": {"steps_taken": 60}}) == "50 steps and 60 of features"


def test_a_latent_is_called_as_its_photo(tmp_path):
    assert told_code(str(tmp_path / "out" / "anna" / "face0" / "latent.npz")) == "anna"
    assert told_code("anna.npz") == "anna"
    assert told_code("7") == "seed 7"


def test_a_film_of_w_plus_says_so(photo, tmp_path):
    run("invert", photo, "--method", "project", "--steps", 3, "--generator", "faces64", "--out", tmp_path / "o")
    latent = tmp_path / "o" / "me" / "face0" / "latent.npz"
    words = ["--frames", 2, "--generator", "faces64", "--out", tmp_path / "f"]
    assert "in W+" in run("interpolate", latent, 3, *words).output
    assert "in W\n" in run("interpolate", 3, 4, *words).output


def test_an_edit_finds_the_inversion_of_an_earlier_edit_again(photo, tmp_path):
    words = ["edit", photo, "--method", "project", "--steps", 3, "--generator", "faces64", "--out", tmp_path / "o"]
    assert "earlier run" not in run(*words, "--transfer", "smile:0.5").output
    assert "earlier run" in run(*words, "--transfer", "smile:1").output
    again = load_latent(tmp_path / "o" / "me" / "face0" / "latent.npz")
    assert [edit["strength"] for edit in again.report["edits"]] == [1.0]
    run(*words[:-1], tmp_path / "new", "--transfer", "smile:1")
    fresh = load_latent(tmp_path / "new" / "me" / "face0" / "latent.npz")
    np.testing.assert_allclose(again.ws, fresh.ws, atol=1e-5)
    assert "earlier run" not in run(*words, "--transfer", "smile:1", "--seed", 5).output  # another search


def test_an_inversion_that_is_edited_again_keeps_only_its_own_warnings():
    latent = Latent(torch.ones(1, 2, 3), torch.zeros(1, 2, 3), report={"loss": 1.0, "warnings": ["dim"]})
    assert with_doubts(latent.report, []) == latent.report
    edited = replace(
        latent, report={**with_doubts(with_doubts(latent.report, ["far"]), ["hardly shows"]), "edits": [{}]}
    )
    assert edited.report["warnings"] == ["dim", "far", "hardly shows"]
    assert edited.unedited().report == {"loss": 1.0, "warnings": ["dim"]}
    assert torch.equal(edited.unedited().ws, latent.origin)


def test_an_edit_goes_on_where_it_was_interrupted(photo, tmp_path, monkeypatch):
    words = ["edit", photo, "--method", "project", "--steps", 8, "--generator", "faces64", "--transfer", "smile"]
    run(*words, "--out", tmp_path / "whole")
    taken: list[int] = []

    @contextmanager
    def watched(self, label, total):
        def update(step, loss):
            taken.append(step)
            if step == 5 and len(taken) == 5:
                raise KeyboardInterrupt

        yield update

    monkeypatch.setattr(Console, "progress", watched)
    assert "interrupted; what was finished is kept" in run(*words, "--out", tmp_path / "parts", code=130).stderr
    run(*words, "--out", tmp_path / "parts")
    assert taken == [1, 2, 3, 4, 5, 6, 7, 8]
    whole, parts = (load_latent(tmp_path / name / "me" / "face0" / "latent.npz") for name in ("whole", "parts"))
    np.testing.assert_allclose(parts.ws, whole.ws, atol=1e-4)
    assert not list((tmp_path / "parts").rglob(STATE_FILE))


def test_a_latent_of_another_shipped_generator_brings_it_along(photo, tmp_path):
    run("invert", photo, "--method", "guess", "--generator", "faces64", "--out", tmp_path / "o")
    latent = tmp_path / "o" / "me" / "face0" / "latent.npz"
    run("edit", latent, "--transfer", "smile", "--out", tmp_path / "e")
    assert load_latent(tmp_path / "e" / "me" / "face0" / "latent.npz").generator == load_latent(latent).generator


@pytest.mark.slow
def test_an_edit_that_was_interrupted_keeps_where_it_was(photo, tmp_path):
    words = ["edit", photo, "--transfer", "smile", "--method", "project", "--steps", "4000", "--patience", "0",
             "--generator", "faces64", "--out", tmp_path / "o"]  # fmt: skip
    command = [sys.executable, "cli.py", *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    folder = tmp_path / "o" / "me" / "face0"
    # A shell starts what runs in the background with Ctrl-C ignored, and children inherit that: undo it.
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    deadline = time.monotonic() + 240
    while not any(folder.glob(f"{STATE_FILE}*")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "me face0: " in told  # a line of progress, since the output is no terminal
    assert any(folder.glob(f"{STATE_FILE}*"))
