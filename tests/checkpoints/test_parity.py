"""The networks against the outputs that each format's own implementation gave (tests/data/README.md)."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from stylegan_core.checkpoints import load_checkpoint

DATA = Path(__file__).parent.parent / "data"
TOLERANCE = 1e-4  # of the expected array's standard deviation


def assert_matches(actual: Tensor, expected: np.ndarray) -> None:
    difference = (actual - torch.from_numpy(expected)).abs().max() / expected.std()
    assert difference < TOLERANCE, f"off by {difference:.1e} standard deviations"


def load(name: str) -> tuple:
    (path,) = [path for path in DATA.glob(f"{name}.*") if path.suffix in (".pkl", ".pt")]
    with np.load(DATA / f"{name}.npz") as arrays:
        return load_checkpoint(path), dict(arrays)


@pytest.mark.parametrize("name", ["sg2ada-32", "sg2ada-64-cond", "sg3t-32", "sg3r-32"])
def test_nvidia_pytorch_networks_give_their_own_outputs(name: str) -> None:
    checkpoint, expected = load(name)
    generator = checkpoint.generator
    z = torch.from_numpy(expected["z"])
    c = torch.from_numpy(expected["c"]) if "c" in expected else None
    ws = generator.mapping(z, c)
    assert_matches(ws, expected["ws"])
    assert_matches(generator.mapping(z, c, truncation_psi=0.7), expected["ws_psi07"])
    assert_matches(generator.mapping(z, c, truncation_psi=0.5, truncation_cutoff=4), expected["ws_psi05_cutoff4"])
    assert_matches(generator.synthesis(ws), expected["img"])
    assert_matches(generator(z, c), expected["img"])


@pytest.mark.parametrize("name", ["sg2ada-32", "sg2ada-64-cond"])
def test_stylegan2_without_noise_and_its_discriminator_give_their_own_outputs(name: str) -> None:
    checkpoint, expected = load(name)
    ws = checkpoint.generator.mapping(*(torch.from_numpy(expected[k]) for k in ("z", "c") if k in expected))
    assert_matches(checkpoint.generator.synthesis(ws, noise_mode="none"), expected["img_nonoise"])
    c = torch.from_numpy(expected["c"]) if "c" in expected else None
    assert_matches(checkpoint.discriminator(torch.from_numpy(expected["img"]), c), expected["logits"])


@pytest.mark.parametrize("name", ["sg3t-32", "sg3r-32"])
def test_stylegan3_renders_a_rotated_and_shifted_input(name: str) -> None:
    checkpoint, expected = load(name)
    generator = checkpoint.generator
    ws = generator.mapping(torch.from_numpy(expected["z"]))
    generator.synthesis.input.transform.copy_(torch.from_numpy(expected["transform"]))
    assert_matches(generator.synthesis(ws), expected["img_transformed"])


def test_tensorflow_stylegan2_gives_its_own_outputs() -> None:
    checkpoint, expected = load("sg2-tf-32")
    generator = checkpoint.generator
    ws = generator.mapping(torch.from_numpy(expected["z"]))
    assert_matches(ws, expected["ws"])
    assert_matches(generator.synthesis(ws), expected["img"])
    assert torch.equal(generator.w_avg, torch.from_numpy(expected["w_avg"]))


def test_rosinality_gives_its_own_outputs() -> None:
    checkpoint, expected = load("rosinality-32")
    z = torch.from_numpy(expected["z"])
    ws = checkpoint.generator.mapping(z)
    assert_matches(ws[:, 0], expected["w"])
    assert_matches(checkpoint.generator.synthesis(ws), expected["img"])
    assert_matches(checkpoint.generator(z, truncation_psi=0.6), expected["img_psi06"])


def test_renders_do_not_depend_on_the_batch_around_them() -> None:
    for name in ("sg2ada-32", "sg3r-32"):
        checkpoint, expected = load(name)
        z = torch.from_numpy(expected["z"])
        together = checkpoint.generator(z)
        alone = torch.cat([checkpoint.generator(z[i : i + 1]) for i in range(len(z))])
        assert_matches(alone, together.numpy())
