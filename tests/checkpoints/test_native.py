"""Our own format: round trips to the bit, what the header keeps, and what is refused."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.testing import assert_close

from stylegan_core.checkpoints import (
    Description,
    fingerprint,
    load_checkpoint,
    load_generator,
    save_generator,
    save_snapshot,
)
from stylegan_core.errors import CheckpointError, OutputError
from stylegan_core.networks.build import build_network
from stylegan_core.networks.configs import (
    StyleGAN1Config,
    StyleGAN1DiscriminatorConfig,
    StyleGAN2Config,
    StyleGAN2DiscriminatorConfig,
    StyleGAN3Config,
    config_to_dict,
)
from stylegan_core.networks.protocol import Alignment

SMALL = {"z_dim": 12, "w_dim": 12, "img_resolution": 16, "channel_base": 64, "channel_max": 8, "mapping_layers": 2}
CONFIGS = {
    "stylegan1": StyleGAN1Config(**SMALL),
    "stylegan2": StyleGAN2Config(**SMALL),
    "stylegan2 resnet, labels, gray": StyleGAN2Config(**SMALL, c_dim=3, img_channels=1, architecture="resnet"),
    "stylegan3": StyleGAN3Config(**SMALL, num_layers=4, num_critical=1),
}


def make(name: str = "stylegan2") -> nn.Module:
    torch.manual_seed(0)
    return build_network(CONFIGS[name]).eval().requires_grad_(False)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_saved_generator_comes_back_to_the_bit(name: str, tmp_path: Path) -> None:
    generator = make(name)
    digest = save_generator(tmp_path / "g.safetensors", generator)
    loaded = load_generator(tmp_path / "g.safetensors")
    assert loaded.config == generator.config
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    for key, value in generator.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value)
    z, c = torch.randn(2, 12), torch.eye(3)[:2] if generator.c_dim else None
    assert_close(loaded(z, c), generator(z, c))
    assert loaded.meta.fingerprint == digest
    assert loaded.meta.name == "g"
    assert loaded.meta.format == "native"


def test_loading_leaves_the_random_state_alone(tmp_path: Path) -> None:
    save_generator(tmp_path / "g.safetensors", make())
    state = torch.get_rng_state()
    load_generator(tmp_path / "g.safetensors")
    assert torch.equal(torch.get_rng_state(), state)


def test_sixteen_bit_files_load_as_float32_and_keep_their_fingerprint(tmp_path: Path) -> None:
    generator = make()
    digest = save_generator(tmp_path / "half.safetensors", generator, half=True)
    loaded = load_generator(tmp_path / "half.safetensors")
    assert loaded.meta.fingerprint == digest != fingerprint(generator.state_dict())
    assert all(value.dtype == torch.float32 for value in loaded.state_dict().values())
    assert (tmp_path / "half.safetensors").stat().st_size < 0.6 * sum(
        v.numel() * 4 for v in loaded.parameters()
    ) + 20_000
    assert save_generator(tmp_path / "again.safetensors", loaded) == digest  # same values in 32 bit: same print


def test_the_fingerprint_tells_values_shapes_and_names_apart() -> None:
    state = {"a": torch.tensor([1.0, 2.0]), "b": torch.zeros(1)}
    prints = {
        fingerprint(state),
        fingerprint({**state, "a": torch.tensor([1.0, 2.5])}),
        fingerprint({**state, "a": torch.tensor([[1.0, 2.0]])}),
        fingerprint({"a": state["a"], "c": state["b"]}),
    }
    assert len(prints) == 4
    assert fingerprint(dict(reversed(state.items()))) == fingerprint(state)


def test_the_header_keeps_alignment_licence_and_training(tmp_path: Path) -> None:
    about = Description(Alignment(0.8, 0.08), "MIT", {"kimg": 45.0, "data": "faces"})
    save_generator(tmp_path / "g.safetensors", make(), about)
    generator = load_generator(tmp_path / "g.safetensors")
    assert generator.meta.alignment == Alignment(0.8, 0.08)
    assert generator.meta.licence == "MIT"
    assert generator.meta.training == {"kimg": 45.0, "data": "faces"}
    save_generator(tmp_path / "copy.safetensors", generator)  # what it knows of itself is kept
    assert load_generator(tmp_path / "copy.safetensors").meta.alignment == Alignment(0.8, 0.08)


@pytest.mark.parametrize(
    "critic",
    [
        StyleGAN2DiscriminatorConfig(img_resolution=16, channel_base=64, channel_max=8),
        StyleGAN1DiscriminatorConfig(img_resolution=16, channel_base=64, channel_max=8),
    ],
)
def test_snapshots_hold_several_networks_and_more(critic: object, tmp_path: Path) -> None:
    average, generator, discriminator = make(), make(), build_network(critic)
    with torch.no_grad():
        average.synthesis.b4.const.mul_(2)
    networks = {"G_ema": average, "G": generator, "D": discriminator}
    digest = save_snapshot(tmp_path / "s.safetensors", networks, Description(), {"optimizer.step": torch.ones(3)})
    checkpoint = load_checkpoint(tmp_path / "s.safetensors")
    assert checkpoint.meta.fingerprint == digest == fingerprint(average.state_dict())
    assert checkpoint.discriminator is not None
    assert torch.equal(checkpoint.extra["optimizer.step"], torch.ones(3))
    assert torch.equal(checkpoint.extra["G.synthesis.b4.const"], generator.synthesis.b4.const)
    img = torch.randn(2, 3, 16, 16)
    assert_close(checkpoint.discriminator(img), discriminator.eval()(img))


def rewrite(path: Path, header: dict[str, str] | None = None, **tensors: torch.Tensor | None) -> None:
    """Change a saved file's tensors (None: leave out) and header."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        metadata = dict(file.metadata())
    state = load_file(path)
    for name, tensor in tensors.items():
        if tensor is None:
            del state[name]
        else:
            state[name] = tensor
    save_file(state, path, {**metadata, **(header or {})})


BROKEN = {
    "a missing tensor": ({}, {"synthesis.b8.conv0.weight": None}, r"1 missing \(synthesis.b8.conv0.weight"),
    "an unexpected tensor": ({}, {"more": torch.zeros(2)}, r"1 unexpected \(more"),
    "a wrong shape": ({}, {"synthesis.b4.const": torch.zeros(8, 4, 5)}, r"b4.const has shape \[8, 4, 5\].*\[8, 4, 4\]"),
    "NaN": ({}, {"synthesis.b4.const": torch.full([8, 4, 4], torch.nan)}, "NaN or infinite.*b4.const"),
    "infinity": ({}, {"mapping.fc0.bias": torch.full([12], torch.inf)}, "NaN or infinite.*fc0.bias"),
    "other values": ({}, {"synthesis.b4.const": torch.zeros(8, 4, 4)}, "fingerprint"),
    "an unknown architecture": ({"config": '{"arch": "stylegan9"}'}, {}, "stylegan9"),
    "a config that is no JSON": ({"config": "{"}, {}, "config is no JSON"),
    "a config that is a list": ({"config": "[]"}, {}, "no JSON object"),
    "a config with other dims": (
        {"config": json.dumps({**config_to_dict(CONFIGS["stylegan2"]), "w_dim": 8192})},
        {},
        "architecture needs",
    ),
    "a config with text for a number": (
        {"config": json.dumps({**config_to_dict(CONFIGS["stylegan2"]), "w_dim": "many"})},
        {},
        "w_dim is 'many'",
    ),
    "an alignment that is no number": ({"alignment": '{"crop_scale": "big"}'}, {}, "alignment"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_damaged_files_are_refused_with_what_is_wrong(what: str, tmp_path: Path) -> None:
    header, tensors, message = BROKEN[what]
    path = tmp_path / "g.safetensors"
    save_generator(path, make())
    rewrite(path, header, **tensors)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_generator(path)
    assert "g.safetensors" in str(caught.value)


def test_files_that_are_not_there_or_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no file.*faces64"):
        load_generator(tmp_path / "none.safetensors")
    with pytest.raises(CheckpointError, match="folder"):
        load_generator(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        save_generator(tmp_path / "file" / "g.safetensors", make())


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "g.safetensors"
    save_generator(path, make())
    before = path.read_bytes()

    def fail(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OutputError, match="No space left"):
        save_generator(path, make("stylegan1"))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_the_embedded_generator_is_found_by_name() -> None:
    generator = load_generator("faces64")
    assert generator.img_resolution == 64
    assert generator.meta.alignment.crop_scale == 0.8
    assert dataclasses.is_dataclass(generator.config)


def test_classifiers_among_the_assets_are_no_generators() -> None:
    with pytest.raises(CheckpointError, match="embedded: "):
        load_generator("face_expression_model")
