"""TensorFlow pickles beyond the fixture: StyleGAN1 from its variables, StyleGAN2's other configs and labels."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from foreign import Network, tensorflow_pickle
from torch import Tensor
from torch.testing import assert_close

from stylegan_core.checkpoints import load_checkpoint
from stylegan_core.errors import CheckpointError
from stylegan_core.networks.configs import StyleGAN1Config, StyleGAN2Config

Z, W, SIDE = 10, 12, 16
CHANNELS = {4: 8, 8: 6, 16: 4}
random = np.random.default_rng(0)


def values(*shape: int) -> np.ndarray:
    return random.standard_normal(shape).astype(np.float32)


def stylegan1_variables(labels: int = 0, blocks: dict[int, int] = CHANNELS) -> dict[str, dict[str, np.ndarray]]:
    """Name random variables as G_style does."""
    mapping: dict[str, np.ndarray] = {}
    if labels:
        mapping["LabelConcat/weight"] = values(labels, Z)
    widths = [Z * (2 if labels else 1), 14, W]
    for i in range(2):
        mapping[f"Dense{i}/weight"], mapping[f"Dense{i}/bias"] = values(widths[i], widths[i + 1]), values(widths[i + 1])
    synthesis: dict[str, np.ndarray] = {"lod": np.float32(0)}
    before, num = blocks[4], len(blocks)
    for i, (side, channels) in enumerate(blocks.items()):
        names = ("Const", "Conv") if side == 4 else ("Conv0_up", "Conv1")
        if side == 4:
            synthesis["4x4/Const/const"] = values(1, channels, 4, 4)
        else:
            synthesis[f"{side}x{side}/Conv0_up/weight"] = values(3, 3, before, channels)
        synthesis[f"{side}x{side}/{names[1]}/weight"] = values(3, 3, channels, channels)
        for j, name in enumerate(names):
            scope = f"{side}x{side}/{name}"
            synthesis[f"noise{2 * i + j}"] = values(1, 1, side, side)
            synthesis[f"{scope}/Noise/weight"], synthesis[f"{scope}/bias"] = values(channels), values(channels)
            synthesis[f"{scope}/StyleMod/weight"] = values(W, 2 * channels)
            synthesis[f"{scope}/StyleMod/bias"] = values(2 * channels)
        lod = num - 1 - i
        synthesis[f"ToRGB_lod{lod}/weight"], synthesis[f"ToRGB_lod{lod}/bias"] = values(1, 1, channels, 3), values(3)
        before = channels
    return {"own": {"dlatent_avg": values(W)}, "mapping": mapping, "synthesis": synthesis}


def as_network(variables: dict[str, dict[str, np.ndarray]], **kwargs: Any) -> Network:
    parts = {name: Network(name, variables[name], {}) for name in ("mapping", "synthesis")}
    return Network("Gs", variables["own"], parts, **kwargs)


def tensor(array: np.ndarray) -> Tensor:
    return torch.tensor(np.asarray(array), dtype=torch.float64)


def conv(x: Tensor, weight: np.ndarray, gain: float = math.sqrt(2)) -> Tensor:
    """TensorFlow's convolution: correlation, weights [k, k, in, out], scaled by He's constant when used."""
    kernel = tensor(weight).permute(3, 2, 0, 1) * (gain / math.sqrt(np.prod(weight.shape[:3])))
    return F.conv2d(x, kernel, padding=weight.shape[0] // 2)


def fused_up(x: Tensor, weight: np.ndarray) -> Tensor:
    """Their fused upsampling: a transposed convolution with the 3x3 kernel summed at four offsets."""
    kernel = tensor(weight).permute(3, 2, 0, 1) * math.sqrt(2 / np.prod(weight.shape[:3]))
    kernel = F.pad(kernel, [1, 1, 1, 1])
    kernel = kernel[:, :, 1:, 1:] + kernel[:, :, :-1, 1:] + kernel[:, :, 1:, :-1] + kernel[:, :, :-1, :-1]
    out = x.new_zeros([x.shape[0], kernel.shape[0], 2 * x.shape[2] + 2, 2 * x.shape[3] + 2])
    for row in range(x.shape[2]):  # scatter each input pixel: what a transposed convolution means
        for column in range(x.shape[3]):
            spread = torch.einsum("ni,oiyx->noyx", x[:, :, row, column], kernel)
            out[:, :, 2 * row : 2 * row + 4, 2 * column : 2 * column + 4] += spread
    return out[:, :, 1:-1, 1:-1]


def epilogue(x: Tensor, part: dict[str, np.ndarray], scope: str, noise: int, w: Tensor) -> Tensor:
    x = x + tensor(part[f"noise{noise}"]) * tensor(part[f"{scope}/Noise/weight"])[:, None, None]
    x = F.leaky_relu(x + tensor(part[f"{scope}/bias"])[:, None, None], 0.2)
    x = x - x.mean(dim=[2, 3], keepdim=True)
    x = x / (x.square().mean(dim=[2, 3], keepdim=True) + 1e-8).sqrt()
    style = w @ tensor(part[f"{scope}/StyleMod/weight"]) / math.sqrt(W) + tensor(part[f"{scope}/StyleMod/bias"])
    style = style.reshape(-1, 2, x.shape[1], 1, 1)
    return x * (style[:, 0] + 1) + style[:, 1]


def synthesis_of(part: dict[str, np.ndarray], w: Tensor, fused: bool = False) -> Tensor:
    """G_synthesis at full resolution, from its variables."""
    x = epilogue(tensor(part["4x4/Const/const"]).expand(len(w), -1, -1, -1), part, "4x4/Const", 0, w)
    x = epilogue(conv(x, part["4x4/Conv/weight"]), part, "4x4/Conv", 1, w)
    taps = torch.tensor([1.0, 2.0, 1.0], dtype=torch.float64) / 4
    for i, side in enumerate((8, 16), start=1):
        weight = part[f"{side}x{side}/Conv0_up/weight"]
        repeated = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        x = fused_up(x, weight) if fused else conv(repeated, weight)
        x = F.conv2d(x, torch.outer(taps, taps).expand(x.shape[1], 1, 3, 3), padding=1, groups=x.shape[1])
        x = epilogue(x, part, f"{side}x{side}/Conv0_up", 2 * i, w)
        x = epilogue(conv(x, part[f"{side}x{side}/Conv1/weight"]), part, f"{side}x{side}/Conv1", 2 * i + 1, w)
    return conv(x, part["ToRGB_lod0/weight"], gain=1) + tensor(part["ToRGB_lod0/bias"])[:, None, None]


def mapping_of(part: dict[str, np.ndarray], z: Tensor, c: Tensor | None = None) -> Tensor:
    """G_mapping from its variables: labels are joined before the normalisation."""
    x = z if c is None else torch.cat([z, c @ tensor(part["LabelConcat/weight"])], dim=1)
    x = x / (x.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()
    for i in range(2):
        weight = tensor(part[f"Dense{i}/weight"]) * (0.01 * math.sqrt(2 / part[f"Dense{i}/weight"].shape[0]))
        x = F.leaky_relu(x @ weight + tensor(part[f"Dense{i}/bias"]) * 0.01, 0.2)
    return x


@pytest.mark.parametrize(("labels", "fused"), [(0, "auto"), (3, "auto"), (0, True)])
def test_stylegan1_computes_what_its_variables_say(labels: int, fused: object, tmp_path: Path) -> None:
    variables = stylegan1_variables(labels)
    path = tmp_path / "stylegan1.pkl"
    network = as_network(variables, fused_scale=fused, truncation_psi=0.7, label_size=labels)
    path.write_bytes(tensorflow_pickle(network, network, network))
    checkpoint = load_checkpoint(path)
    generator = checkpoint.generator.double()
    assert isinstance(checkpoint.config, StyleGAN1Config)
    assert (generator.z_dim, generator.c_dim, generator.num_ws, generator.img_resolution) == (Z, labels, 6, SIDE)
    z, c = torch.randn(2, Z).double(), torch.eye(3)[:2].double() if labels else None
    w = mapping_of(variables["mapping"], z, c)
    assert_close(generator.mapping(z, c)[:, 0], w, rtol=1e-5, atol=1e-5)
    expected = synthesis_of(variables["synthesis"], w, fused is True)
    assert_close(generator(z, c), expected, rtol=1e-4, atol=1e-4 * expected.std().item())
    assert_close(generator.w_avg, tensor(variables["own"]["dlatent_avg"]))


def test_stylegan1_flips_the_kernels_that_are_fused_from_128_pixels_on(tmp_path: Path) -> None:
    variables = stylegan1_variables(blocks={4: 2, 8: 2, 16: 2, 32: 2, 64: 2, 128: 2})
    path = tmp_path / "large.pkl"
    path.write_bytes(tensorflow_pickle(as_network(variables)))
    synthesis = load_checkpoint(path).generator.synthesis
    for side in (64, 128):
        stored = torch.from_numpy(variables["synthesis"][f"{side}x{side}/Conv0_up/weight"]).permute(3, 2, 0, 1)
        weight = getattr(synthesis, f"b{side}").conv0.weight
        assert torch.equal(weight, stored.flip(2, 3) if side == 128 else stored)


def test_stylegan1_in_mid_growth_keeps_its_level_of_detail(tmp_path: Path) -> None:
    variables = stylegan1_variables()
    variables["synthesis"]["lod"] = np.float32(1.5)
    path = tmp_path / "growing.pkl"
    path.write_bytes(tensorflow_pickle(as_network(variables)))
    generator = load_checkpoint(path).generator
    assert generator.synthesis.lod.item() == 1.5
    image = generator(torch.randn(1, Z))
    assert_close(image[..., ::2, ::2], image[..., 1::2, 1::2])  # eight pixels, each repeated


def test_stylegan1_discriminator_computes_what_its_variables_say(tmp_path: Path) -> None:
    d: dict[str, np.ndarray] = {"lod": np.float32(0)}
    for lod, side in enumerate((16, 8, 4)):
        d[f"FromRGB_lod{lod}/weight"], d[f"FromRGB_lod{lod}/bias"] = (
            values(1, 1, 3, CHANNELS[side]),
            values(CHANNELS[side]),
        )
    for side in (16, 8):
        inner, out = CHANNELS[side], CHANNELS[side // 2]
        d[f"{side}x{side}/Conv0/weight"], d[f"{side}x{side}/Conv0/bias"] = values(3, 3, inner, inner), values(inner)
        d[f"{side}x{side}/Conv1_down/weight"], d[f"{side}x{side}/Conv1_down/bias"] = (
            values(3, 3, inner, out),
            values(out),
        )
    d["4x4/Conv/weight"], d["4x4/Conv/bias"] = values(3, 3, 9, 8), values(8)
    d["4x4/Dense0/weight"], d["4x4/Dense0/bias"] = values(8 * 16, 7), values(7)
    d["4x4/Dense1/weight"], d["4x4/Dense1/bias"] = values(7, 1), values(1)
    generator = as_network(stylegan1_variables())
    path = tmp_path / "gd.pkl"
    path.write_bytes(tensorflow_pickle(generator, Network("D", d, {}), generator))
    discriminator = load_checkpoint(path).discriminator
    assert discriminator is not None

    def layer(x: Tensor, scope: str) -> Tensor:
        return F.leaky_relu(conv(x, d[f"{scope}/weight"]) + tensor(d[f"{scope}/bias"])[:, None, None], 0.2)

    def dense(x: Tensor, scope: str, gain: float) -> Tensor:
        return x @ (tensor(d[f"{scope}/weight"]) * gain / math.sqrt(x.shape[1])) + tensor(d[f"{scope}/bias"])

    img = torch.randn(4, 3, SIDE, SIDE).double()
    x = layer(img, "FromRGB_lod0")
    taps = torch.tensor([1.0, 2.0, 1.0], dtype=torch.float64) / 4
    for side in (16, 8):
        x = layer(x, f"{side}x{side}/Conv0")
        x = F.conv2d(x, torch.outer(taps, taps).expand(x.shape[1], 1, 3, 3), padding=1, groups=x.shape[1])
        scope = f"{side}x{side}/Conv1_down"
        x = F.avg_pool2d(conv(x, d[f"{scope}/weight"]), 2) + tensor(d[f"{scope}/bias"])[:, None, None]
        x = F.leaky_relu(x, 0.2)
    std = (x.var(dim=0, unbiased=False) + 1e-8).sqrt().mean()
    x = layer(torch.cat([x, std.expand(4, 1, 4, 4)], dim=1), "4x4/Conv").flatten(1)
    expected = dense(F.leaky_relu(dense(x, "4x4/Dense0", math.sqrt(2)), 0.2), "4x4/Dense1", 1.0)
    assert_close(discriminator.double()(img), expected, rtol=1e-5, atol=1e-5)


def stylegan2_variables(architecture: str, labels: int = 0) -> dict[str, dict[str, np.ndarray]]:
    """Name random variables as G_synthesis_stylegan2 (or, for `orig`, the revised one of configs B to D) does."""
    variables = stylegan1_variables(labels)
    s: dict[str, np.ndarray] = {"4x4/Const/const": values(1, CHANNELS[4], 4, 4)}
    before = 0
    for side, channels in CHANNELS.items():
        layers = {"Conv": channels} if side == 4 else {"Conv0_up": before, "Conv1": channels}
        for name, width in layers.items():
            scope = f"{side}x{side}/{name}"
            s[f"{scope}/weight"], s[f"{scope}/bias"] = values(3, 3, width, channels), values(channels)
            s[f"{scope}/mod_weight"], s[f"{scope}/mod_bias"] = values(W, width), values(width)
            s[f"{scope}/noise_strength"] = values()
        if architecture == "skip" or side == SIDE:
            scope = "ToRGB_lod0" if architecture == "orig" else f"{side}x{side}/ToRGB"
            s[f"{scope}/weight"], s[f"{scope}/bias"] = values(1, 1, channels, 3), values(3)
            s[f"{scope}/mod_weight"], s[f"{scope}/mod_bias"] = values(W, channels), values(channels)
        if architecture == "resnet" and side > 4:
            s[f"{side}x{side}/Skip/weight"] = values(1, 1, before, channels)
        before = channels
    s |= {f"noise{i}": values(1, 1, side, side) for i, side in enumerate((4, 8, 8, 16, 16))}
    return {**variables, "synthesis": s}


def modulated(x: Tensor, s: dict[str, np.ndarray], scope: str, w: Tensor, up: bool, demodulate: bool) -> Tensor:
    """TensorFlow's modulated_conv2d_layer, sample by sample."""
    weight = tensor(s[f"{scope}/weight"])  # [k, k, in, out]
    weight = weight / math.sqrt(weight[:, :, :, 0].numel())
    style = w @ tensor(s[f"{scope}/mod_weight"]) / math.sqrt(W) + tensor(s[f"{scope}/mod_bias"]) + 1
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64) / 4
    out = []
    for i in range(len(x)):
        kernel = weight * style[i][None, None, :, None]
        if demodulate:
            kernel = kernel / (kernel.square().sum(dim=[0, 1, 2]) + 1e-8).sqrt()
        kernel = kernel.permute(3, 2, 0, 1)
        y = x[i : i + 1]
        if up:  # upsample_conv_2d: insert zeros, correlate, filter
            side = y.shape[-1]
            spread = y.new_zeros([1, y.shape[1], 2 * side - 1, 2 * side - 1])
            spread[:, :, ::2, ::2] = y
            y = F.conv2d(spread, kernel, padding=kernel.shape[-1] - 1)
            y = F.conv2d(y, torch.outer(taps, taps).expand(y.shape[1], 1, 4, 4), padding=3, groups=y.shape[1])
            start = kernel.shape[-1] // 2 + 1
            y = y[:, :, start : start + 2 * side, start : start + 2 * side]
        else:
            y = F.conv2d(y, kernel, padding=kernel.shape[-1] // 2)
        out.append(y)
    return torch.cat(out)


def stylegan2_images(s: dict[str, np.ndarray], w: Tensor, architecture: str) -> Tensor:
    x = img = None
    for side in CHANNELS:
        before = x
        if x is None:
            layers, x = ["Conv"], tensor(s["4x4/Const/const"]).expand(len(w), -1, -1, -1)
        else:
            layers = ["Conv0_up", "Conv1"]
        for name in layers:
            scope, index = f"{side}x{side}/{name}", 2 * int(math.log2(side)) - (5 if name == "Conv0_up" else 4)
            y = modulated(x, s, scope, w, name == "Conv0_up", True)
            y = y + tensor(s[f"noise{index}"]) * tensor(s[f"{scope}/noise_strength"])
            x = F.leaky_relu(y + tensor(s[f"{scope}/bias"])[:, None, None], 0.2) * math.sqrt(2)
        if before is not None and architecture == "resnet":
            zeros = {"a/weight": s[f"{side}x{side}/Skip/weight"], "a/mod_weight": np.zeros((W, before.shape[1]))}
            plain = {**zeros, "a/mod_bias": np.zeros(before.shape[1])}
            x = (x + modulated(before, plain, "a", w, True, False)) / math.sqrt(2)
        if img is not None:
            unit = {"a/weight": np.eye(3)[None, None] * math.sqrt(3), "a/mod_weight": np.zeros((W, 3))}
            img = modulated(img, {**unit, "a/mod_bias": np.zeros(3)}, "a", w, True, False)
        scope = "ToRGB_lod0" if architecture == "orig" else f"{side}x{side}/ToRGB"
        if f"{scope}/weight" in s and (architecture != "orig" or side == SIDE):
            rgb = modulated(x, s, scope, w, False, False) + tensor(s[f"{scope}/bias"])[:, None, None]
            img = rgb if img is None else img + rgb
    return img


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
def test_stylegan2_configs_compute_what_their_variables_say(architecture: str, tmp_path: Path) -> None:
    variables = stylegan2_variables(architecture)
    path = tmp_path / "stylegan2.pkl"
    path.write_bytes(tensorflow_pickle(as_network(variables)))
    checkpoint = load_checkpoint(path)
    assert isinstance(checkpoint.config, StyleGAN2Config)
    assert checkpoint.config.architecture == architecture
    generator = checkpoint.generator.double()
    w = torch.randn(2, W).double()
    expected = stylegan2_images(variables["synthesis"], w, architecture)
    image = generator.synthesis(w[:, None].expand(-1, generator.num_ws, -1))
    assert_close(image, expected, rtol=1e-4, atol=1e-4 * expected.std().item())


def test_conditional_stylegan2_joins_labels_before_normalising(tmp_path: Path) -> None:
    variables = stylegan2_variables("skip", labels=3)
    path = tmp_path / "conditional.pkl"
    path.write_bytes(tensorflow_pickle(as_network(variables, label_size=3)))
    generator = load_checkpoint(path).generator.double()
    z, c = torch.randn(2, Z).double(), torch.eye(3)[:2].double()
    part = variables["mapping"]
    joined = torch.cat([z, c @ tensor(part["LabelConcat/weight"])], dim=1)
    x = joined / (joined.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()
    for i in range(2):
        weight = tensor(part[f"Dense{i}/weight"]) * (0.01 / math.sqrt(part[f"Dense{i}/weight"].shape[0]))
        x = F.leaky_relu(x @ weight + tensor(part[f"Dense{i}/bias"]) * 0.01, 0.2) * math.sqrt(2)
    assert_close(generator.mapping(z, c)[:, 0], x, rtol=1e-5, atol=1e-5)


BROKEN = {
    "no modulation": (lambda s: s.pop("4x4/Conv/mod_weight"), "4x4/Conv/mod_weight is missing|no StyleGAN2"),
    "a missing layer": (lambda s: s.pop("8x8/Conv1/weight"), "b8.conv1.weight"),
    "a wrong shape": (lambda s: s.update({"8x8/Conv1/bias": values(3)}), r"b8.conv1.bias has shape \[3\]"),
    "a flat kernel": (lambda s: s.update({"8x8/Conv1/weight": values(3)}), "8x8/Conv1/weight has shape"),
    "NaN": (lambda s: s.update({"8x8/Conv1/bias": np.full(6, np.nan, np.float32)}), "NaN.*b8.conv1.bias"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_broken_tensorflow_files_are_refused(what: str, tmp_path: Path) -> None:
    change, message = BROKEN[what]
    variables = stylegan2_variables("skip")
    change(variables["synthesis"])
    path = tmp_path / "broken.pkl"
    path.write_bytes(tensorflow_pickle(as_network(variables)))
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(path)
