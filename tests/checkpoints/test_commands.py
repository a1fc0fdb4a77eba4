"""The commands `convert` and `info`."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import cli
from stylegan_core.assets import asset_path
from stylegan_core.checkpoints import load_generator

DATA = Path(__file__).parent.parent / "data"


def run(*words: object, code: int = 0) -> str:
    result = CliRunner().invoke(cli.main, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result.output


def test_convert_there_and_back_keeps_the_fingerprint(tmp_path: Path) -> None:
    assert "rosinality" in run("convert", "faces64", tmp_path / "theirs.pt")
    assert "native" in run("convert", tmp_path / "theirs.pt", tmp_path / "ours.safetensors")
    ours, original = load_generator(tmp_path / "ours.safetensors"), load_generator("faces64")
    assert ours.config.num_ws == original.config.num_ws
    for name, value in original.state_dict().items():
        assert (ours.state_dict()[name] == value).all()
    assert "ada" in run("convert", "faces64", tmp_path / "plain.pt", "--format", "ada")
    assert load_generator(tmp_path / "plain.pt").meta.fingerprint == original.meta.fingerprint


def test_info_tells_checkpoints_latents_and_directions_apart() -> None:
    smile = sorted(asset_path("directions").glob("*smile*.npz"))[0]
    output = run("info", "faces64", DATA / "sg3t-32.pkl", DATA / "rosinality-32.npz", smile)
    assert "StyleGAN2 (skip)" in output
    assert "StyleGAN3-T" in output
    assert "latent code" in output
    assert "name: smile" in output
    assert load_generator("faces64").meta.fingerprint in output


def test_one_bad_file_is_named_and_the_others_are_still_described(tmp_path: Path) -> None:
    bad = tmp_path / "bad.pkl"
    bad.write_bytes(b"\x80\x04\x8c\x02os\x8c\x06system\x93.")
    np.savez(tmp_path / "empty.npz", x=np.zeros(3))
    output = run("info", bad, tmp_path / "empty.npz", "faces64", code=1)
    assert "bad.pkl" in output
    assert "os.system" in output
    assert "empty.npz" in output
    assert "StyleGAN2 (skip)" in output


@pytest.mark.parametrize("words", [("convert", "faces64"), ("info",), ("convert", "a", "b", "--format", "onnx")])
def test_usage_errors_are_exit_code_2(words: tuple[str, ...]) -> None:
    run(*words, code=2)
