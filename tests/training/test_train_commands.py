import json
from dataclasses import fields

import pytest
from click.testing import CliRunner

from cli import main
from stylegan_core.checkpoints import load_generator
from stylegan_core.training.config import DatasetConfig, TrainConfig


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_from_pictures_to_a_measured_generator(folder, tiny, tmp_path):
    made = run("dataset", "make", folder, tmp_path / "set.zip", "--resolution", 16)
    assert made.exit_code == 0 and "12 images written" in made.output
    assert run("dataset", "inspect", tmp_path / "set.zip").exit_code == 0
    arguments = ("--preset", "tiny", "--kimg", 0.016, "--batch", 8, "--device", "cpu", "--out", tmp_path / "r")
    trained = run("train", "--data", tmp_path / "set.zip", *arguments)
    assert trained.exit_code == 0 and "0.016 kimg, finished" in trained.output
    snapshot = tmp_path / "r" / "snapshot-000000.016.safetensors"
    assert load_generator(snapshot).meta.training["data"] == "set.zip"
    scores = ("--features", "fd-squeezenet", "--scores", "fd", "--samples", 8, "--device", "cpu")
    measured = run("evaluate", snapshot, "--data", tmp_path / "set.zip", *scores, "--out", tmp_path / "s.json")
    assert measured.exit_code == 0 and "not FID" in measured.output
    assert json.loads((tmp_path / "s.json").read_text())["fd-squeezenet"] > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train",), "--data"),
        (("train", "--data", "absent"), "no such folder or zip"),
        (("evaluate", "absent.safetensors"), "--data"),
        (("dataset", "inspect", "absent"), "no such folder or zip"),
        (("dataset", "make", "absent", "x.zip"), "no such folder or zip"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_1_or_2(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert result.exit_code == (2 if message == "--data" else 1)  # usage, or an input that failed
    assert message in result.stderr and len(result.stderr.strip().splitlines()) == 1
    assert "Traceback" not in result.output


def test_inspection_of_a_damaged_set_fails_and_names_the_file(folder):
    (folder / "img04.png").write_text("text")
    result = run("dataset", "inspect", folder)
    assert result.exit_code == 1 and "img04.png" in result.stderr


@pytest.mark.parametrize("config", [TrainConfig, DatasetConfig])
def test_every_option_has_a_help_text(config):
    command = run("train", "--help-all") if config is TrainConfig else run("dataset", "make", "--help")
    assert command.exit_code == 0
    for field in fields(config):
        assert field.metadata["help"]
        assert f"--{field.name.replace('_', '-')}" in command.output
