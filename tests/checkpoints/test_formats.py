"""Foreign files beyond the fixtures, conversions there and back, and what `info` says of each."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from foreign import Persistent, nvidia_modules
from torch import Tensor, nn
from torch.testing import assert_close

from stylegan_core.checkpoints import load_checkpoint, load_generator, save_generator, save_snapshot
from stylegan_core.checkpoints.convert import convert, to_ada
from stylegan_core.checkpoints.info import describe_checkpoint
from stylegan_core.checkpoints.native import Description, write_safetensors
from stylegan_core.checkpoints.nvidia import flatten
from stylegan_core.checkpoints.rosinality import to_rosinality
from stylegan_core.checkpoints.torch_file import read_nvidia_pickle
from stylegan_core.errors import CheckpointError, OutputError
from stylegan_core.networks.build import build_network
from stylegan_core.networks.configs import StyleGAN1Config, StyleGAN2Config, StyleGAN2DiscriminatorConfig
from stylegan_core.networks.protocol import Alignment

DATA = Path(__file__).parent.parent / "data"
SMALL = {"z_dim": 12, "w_dim": 20, "img_resolution": 16, "channel_base": 64, "channel_max": 8, "mapping_layers": 2}


def fixture_weights() -> dict[str, Any]:
    return torch.load(DATA / "rosinality-32.pt", weights_only=True)


def save(path: Path, content: object, zipped: bool = True) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


def small(**changes: Any) -> nn.Module:
    torch.manual_seed(0)
    generator = build_network(StyleGAN2Config(**{**SMALL, **changes})).eval()
    generator.mapping.w_avg.normal_()
    return generator


@pytest.mark.parametrize("zipped", [True, False])
def test_rosinality_files_of_every_layout_give_the_same_generator(zipped: bool, tmp_path: Path) -> None:
    content = fixture_weights()
    reference = load_generator(DATA / "rosinality-32.pt").meta.fingerprint
    training = {**content, "g": content["g_ema"], "args": {"size": 32}, "g_optim": {"state": {0: torch.zeros(2)}}}
    assert load_generator(save(tmp_path / "training.pt", training, zipped)).meta.fingerprint == reference
    bare = {"state_dict": content["g_ema"], "latent_avg": content["latent_avg"]}
    assert load_generator(save(tmp_path / "bare.pt", bare, zipped)).meta.fingerprint == reference


@pytest.mark.parametrize("layers", [None, 1, 8])
def test_psp_files_give_their_decoder(layers: int | None, tmp_path: Path) -> None:
    content = fixture_weights()
    state = {f"decoder.{name}": value for name, value in content["g_ema"].items()}
    state |= {"encoder.input_layer.0.weight": torch.randn(4, 3, 3, 3)}
    average = content["latent_avg"] if layers is None else content["latent_avg"].repeat(layers, 1)
    opts = {"output_size": 32, "device": torch.device("cpu"), "encoder_type": "GradualStyleEncoder"}
    path = save(tmp_path / "psp.pt", {"state_dict": state, "latent_avg": average, "opts": opts})
    generator = load_generator(path)
    assert generator.meta.format == "psp"
    assert generator.meta.fingerprint == load_generator(DATA / "rosinality-32.pt").meta.fingerprint


def test_a_missing_mean_is_estimated_from_the_mapping_network(tmp_path: Path) -> None:
    generator = load_generator(save(tmp_path / "g.pt", {"g_ema": fixture_weights()["g_ema"]}))
    torch.manual_seed(1)
    mean = generator.mapping(torch.randn(20_000, 64))[:, 0]
    # The mean of 10,000 codes is known to a hundredth of their deviation; five of those.
    assert ((generator.w_avg - mean.mean(dim=0)).abs() < 0.06 * mean.std(dim=0) + 1e-3).all()
    assert "estimated" in describe_checkpoint(tmp_path / "g.pt")["w_avg"]
    again = load_generator(tmp_path / "g.pt")
    assert torch.equal(again.w_avg, generator.w_avg)


def test_missing_noise_inputs_are_drawn_the_same_every_time(tmp_path: Path) -> None:
    state = {k: v for k, v in fixture_weights()["g_ema"].items() if not k.startswith("noises.")}
    path = save(tmp_path / "g.pt", {"g_ema": state})
    first, second = load_generator(path), load_generator(path)
    assert first.meta.fingerprint == second.meta.fingerprint
    assert first.noise["b8.conv0"].std() > 0.5


def test_rosinality_discriminators_are_read_and_written(tmp_path: Path) -> None:
    generator = small()
    critic = build_network(StyleGAN2DiscriminatorConfig(img_resolution=16, channel_base=64, channel_max=8)).eval()
    loaded = load_checkpoint(save(tmp_path / "gd.pt", to_rosinality(generator, critic)))
    assert loaded.discriminator is not None
    img = torch.randn(4, 3, 16, 16)
    assert_close(loaded.discriminator(img), critic(img))


def test_rosinality_files_come_back_with_every_name_and_value() -> None:
    theirs = fixture_weights()
    ours = to_rosinality(load_generator(DATA / "rosinality-32.pt"))
    assert set(ours["g_ema"]) == set(theirs["g_ema"])
    for name, value in theirs["g_ema"].items():
        assert torch.equal(ours["g_ema"][name], value), name
    assert torch.equal(ours["latent_avg"], theirs["latent_avg"])


@pytest.mark.parametrize("name", ["sg2ada-32", "sg2ada-64-cond", "sg3t-32", "sg3r-32"])
def test_ada_state_dicts_are_those_of_the_pickled_module(name: str, tmp_path: Path) -> None:
    path = DATA / f"{name}.pkl"
    theirs, _, _ = flatten(read_nvidia_pickle(path.read_bytes())["G_ema"])
    generator = load_generator(path)
    ours = to_ada(generator)
    assert set(ours) == set(theirs)
    for key, value in theirs.items():
        assert_close(ours[key], value, rtol=0, atol=1e-7 if key.endswith("filter") else 0)
    for file in ("g.pt", "g.safetensors"):
        convert(path, tmp_path / file, "ada")
        loaded = load_generator(tmp_path / file)
        assert loaded.meta.format == "ada-state-dict"
        z = torch.randn(1, 64)
        c = torch.eye(4)[:1] if loaded.c_dim else None
        assert_close(loaded(z, c), generator(z, c))


@pytest.mark.parametrize("name", ["ours.safetensors", "ada.safetensors", "ada.pt", "rosinality.pt", "module.pkl"])
def test_weights_lie_in_memory_alike_whatever_the_file(name: str, tmp_path: Path) -> None:
    """Kernels are chosen by strides and address: the same weights laid out otherwise render a little otherwise."""
    generator = small().to(memory_format=torch.channels_last)  # odd strides, where the format keeps them
    if name == "module.pkl":
        with nvidia_modules():
            content = pickle.dumps({"G_ema": persistent_generator(generator)})
        (tmp_path / name).write_bytes(content)
    elif name == "ours.safetensors":
        save_generator(tmp_path / name, generator)
    elif name == "ada.safetensors":
        write_safetensors(tmp_path / name, to_ada(generator), {})
    else:
        save(tmp_path / name, to_ada(generator) if name == "ada.pt" else to_rosinality(generator))
    for key, value in load_generator(tmp_path / name).state_dict().items():
        assert value.stride() == torch.empty(value.shape).stride(), key
        assert value.data_ptr() % 64 == 0, key


@pytest.mark.parametrize(
    "name", ["sg2ada-32.pkl", "sg2ada-64-cond.pkl", "sg3r-32.pkl", "sg2-tf-32.pkl", "rosinality-32.pt"]
)
def test_every_format_converts_to_ours_with_its_fingerprint(name: str, tmp_path: Path) -> None:
    before = load_checkpoint(DATA / name)
    assert convert(DATA / name, tmp_path / "ours.safetensors") == "native"
    after = load_checkpoint(tmp_path / "ours.safetensors")
    assert after.meta.fingerprint == before.meta.fingerprint
    assert after.config == before.config
    assert (after.discriminator is None) == (before.discriminator is None)


def test_ours_becomes_rosinality_and_comes_back(tmp_path: Path) -> None:
    for options in ({}, {"use_noise": False}, {"channels": (5, 8, 6)}, {"img_channels": 1}):
        generator = small(**options)
        save_generator(tmp_path / "ours.safetensors", generator)
        assert convert(tmp_path / "ours.safetensors", tmp_path / "theirs.pt") == "rosinality"
        back = load_generator(tmp_path / "theirs.pt")
        z = torch.randn(2, 12)
        assert_close(back(z, truncation_psi=0.5), generator(z, truncation_psi=0.5), rtol=1e-5, atol=1e-5)


def test_conversion_keeps_alignment_and_discriminator_and_can_halve(tmp_path: Path) -> None:
    critic = build_network(StyleGAN2DiscriminatorConfig(img_resolution=16, channel_base=64, channel_max=8))
    about = Description(Alignment(0.8, 0.08), "MIT", {"kimg": 3})
    save_snapshot(tmp_path / "s.safetensors", {"G": small(), "G_ema": small(), "D": critic}, about)
    convert(tmp_path / "s.safetensors", tmp_path / "half.safetensors", half=True)
    checkpoint = load_checkpoint(tmp_path / "half.safetensors")
    assert checkpoint.meta.alignment == Alignment(0.8, 0.08)
    assert checkpoint.meta.training == {"kimg": 3}
    assert checkpoint.discriminator is not None
    assert (tmp_path / "half.safetensors").stat().st_size < (tmp_path / "s.safetensors").stat().st_size / 2


def test_conversions_that_cannot_be_are_refused(tmp_path: Path) -> None:
    source = tmp_path / "ours.safetensors"
    save_generator(source, small(architecture="resnet"))
    with pytest.raises(CheckpointError, match="skip architecture"):
        convert(source, tmp_path / "theirs.pt")
    with pytest.raises(OutputError, match="source itself"):
        convert(source, source)
    with pytest.raises(OutputError, match="tells no format"):
        convert(source, tmp_path / "theirs.onnx")
    with pytest.raises(OutputError, match="16 bit"):
        convert(source, tmp_path / "theirs.pt", half=True)
    save_generator(source, build_network(StyleGAN1Config(**SMALL)))
    with pytest.raises(CheckpointError, match="StyleGAN2 and StyleGAN3"):
        convert(source, tmp_path / "theirs.pt", "ada")
    assert list(tmp_path.iterdir()) == [source]


def module(record_state: dict[str, Any]) -> dict[str, Any]:
    """Fill in the attributes that every torch module has."""
    return {"training": False, "_parameters": {}, "_buffers": {}, "_modules": {}, **record_state}


def persistent_generator(generator: nn.Module) -> Persistent:
    """Wrap a StyleGAN2 generator as NVIDIA's code pickles it."""

    def wrap(part: nn.Module) -> Persistent:
        children = {name: wrap(child) for name, child in part.named_children()}
        return Persistent(
            type(part).__name__,
            module(
                {
                    "_parameters": dict(part.named_parameters(recurse=False)),
                    "_buffers": {n: b for n, b in part.named_buffers(recurse=False) if n != "taps"},
                    "_modules": children,
                }
            ),
        )

    return wrap(generator)


def test_whole_modules_saved_by_torch_are_read(tmp_path: Path) -> None:
    """What pivotal tuning and others save: `torch.save(G, file)` of a persistent object, or a pickle of one."""
    generator = small(architecture="resnet", c_dim=2, mapping_layers=3)
    wrapped = persistent_generator(generator)
    with nvidia_modules():
        torch.save(wrapped, tmp_path / "zip.pt")
        torch.save({"G_ema": wrapped}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
        (tmp_path / "plain.pkl").write_bytes(pickle.dumps({"G": None, "D": None, "G_ema": wrapped}, protocol=5))
        (tmp_path / "alone.pkl").write_bytes(pickle.dumps(wrapped, protocol=2))
    z, c = torch.randn(2, 12), torch.eye(2)
    for path in sorted(tmp_path.iterdir()):
        assert_close(load_generator(path)(z, c), generator(z, c)), path


def without(name: str) -> Callable[[dict[str, Tensor]], object]:
    return lambda state: state.pop(name)


STATES = {
    "no mapping": (without("mapping.fc0.weight"), "mapping.fc0.weight is missing"),
    "no layer": (without("synthesis.b8.conv1.weight"), r"blocks at \[4, 16\]"),
    "no bias": (without("synthesis.b8.conv1.bias"), r"1 missing \(synthesis.b8.conv1.bias"),
    "another part": (lambda state: state.update(extra=torch.zeros(1)), r"1 unexpected \(extra"),
    "another width": (
        lambda state: state.update({"synthesis.b8.conv0.weight": torch.zeros(8, 3, 3, 3)}),
        r"b8.conv0.weight has shape \[8, 3, 3, 3\], the architecture needs \[8, 8, 3, 3\]",
    ),
    "a flat weight": (lambda state: state.update({"mapping.fc0.weight": torch.zeros(4)}), "2 axes"),
    "a skewed filter": (
        lambda state: state.update({"synthesis.b8.conv0.resample_filter": torch.eye(4)}),
        "not separable",
    ),
}


@pytest.mark.parametrize("what", STATES)
def test_state_dicts_with_something_wrong_are_refused_with_what_it_is(what: str, tmp_path: Path) -> None:
    change, message = STATES[what]
    state = to_ada(small())
    change(state)
    write_safetensors(tmp_path / "state.safetensors", state, {})
    with pytest.raises(CheckpointError, match=message) as caught:
        load_checkpoint(tmp_path / "state.safetensors")
    assert "state.safetensors" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"weights": torch.zeros(3)}, "weights"),
        ({"g_ema": {"layer.weight": torch.zeros(3)}}, "g_ema"),
        ([1, 2], "list"),
        (
            {"g_ema": {"style.1.weight": torch.zeros(4, 4), "conv1.conv.modulation.weight": torch.zeros(4)}},
            "rosinality",
        ),
    ],
)
def test_torch_files_without_a_generator_say_what_they_hold(content: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(save(tmp_path / "other.pt", content))


def test_rosinality_files_with_missing_layers_are_refused(tmp_path: Path) -> None:
    content = fixture_weights()
    del content["g_ema"]["convs.3.activate.bias"]
    with pytest.raises(CheckpointError, match=r"missing.*convs.3.activate.bias"):
        load_checkpoint(save(tmp_path / "g.pt", content))
    content = fixture_weights()
    content["latent_avg"] = torch.zeros(7)
    with pytest.raises(CheckpointError, match=r"latent_avg has shape \[7\]"):
        load_checkpoint(save(tmp_path / "g.pt", content))


def test_info_says_what_a_checkpoint_is() -> None:
    lines = describe_checkpoint(DATA / "sg2ada-64-cond.pkl")
    assert lines["architecture"] == "StyleGAN2 (skip)"
    assert lines["resolution"] == "64 x 64, RGB"
    assert lines["dims"] == "z 64, w 48, labels 4"
    assert (lines["num_ws"], lines["mapping layers"]) == ("10", "8")
    assert lines["w_avg"] == "present"
    assert len(lines["fingerprint"]) == 64
    assert lines["licence"].startswith("no note")
    assert describe_checkpoint(DATA / "sg3r-32.pkl")["architecture"] == "StyleGAN3-R"
    assert describe_checkpoint(DATA / "sg3t-32.pkl")["architecture"] == "StyleGAN3-T"
    assert describe_checkpoint(DATA / "sg2-tf-32.pkl")["format"] == "nvidia-tensorflow"
