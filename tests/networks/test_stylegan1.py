"""StyleGAN1 against loops written from its paper: AdaIN, noise, growth, and what each config A to F adds."""

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.testing import assert_close

from stylegan_core.errors import ConfigError
from stylegan_core.networks.configs import PRESETS, STYLEGAN1_CONFIGS, StyleGAN1Config
from stylegan_core.networks.stylegan1 import (
    StyleGAN1Generator,
    StyleLayer,
    adain,
    conv2d_nearest_up,
    growth,
    pixel_norm,
)


def make(letter: str, **changes: object) -> StyleGAN1Generator:
    small = {"z_dim": 12, "w_dim": 12, "img_resolution": 16, "channel_base": 64, "channel_max": 8}
    config = dataclasses.replace(STYLEGAN1_CONFIGS[letter], **{**small, **changes})
    generator = StyleGAN1Generator(config).eval().double()
    for name, parameter in generator.named_parameters():
        if name.endswith(("bias", "noise_strength", "const")):
            torch.nn.init.normal_(parameter)
    return generator


def naive_layer(layer: StyleLayer, x: Tensor, w: Tensor) -> Tensor:
    """One sample through one layer, map by map."""
    if layer.kind == "dense":
        x = (layer.weight @ w * (math.sqrt(2) / 4 / math.sqrt(len(w)))).reshape(-1, 4, 4)
    if layer.kind in ("conv", "up"):
        weight = layer.weight * math.sqrt(2 / layer.weight[0].numel())
        if layer.kind == "up":
            x = x.repeat_interleave(2, dim=1).repeat_interleave(2, dim=2)
        x = F.conv2d(x[None], weight, padding=1)[0]
        if layer.kind == "up" and layer.blurs:
            taps = torch.tensor([1.0, 2.0, 1.0], dtype=x.dtype) / 4
            x = F.conv2d(x[:, None], torch.outer(taps, taps)[None, None], padding=1)[:, 0]
    out = torch.empty_like(x)
    for i in range(len(x)):
        y = x[i] + layer.bias[i]
        if layer.use_noise:
            y = y + layer.noise_strength[i] * layer.noise_const
        out[i] = torch.where(y > 0, y, 0.2 * y)
    if layer.pixel_norm:
        for row in range(out.shape[1]):
            for column in range(out.shape[2]):
                vector = out[:, row, column]
                out[:, row, column] = vector / (vector.square().mean() + 1e-8).sqrt()
    if layer.use_styles:
        style = layer.affine.weight @ w / math.sqrt(len(w)) + layer.affine.bias
        for i in range(len(out)):  # AdaIN, eq. 1
            deviation = (out[i].var(unbiased=False) + 1e-8).sqrt()
            out[i] = (style[i] + 1) * (out[i] - out[i].mean()) / deviation + style[len(out) + i]
    return out


def naive_images(generator: StyleGAN1Generator, ws: Tensor) -> dict[int, Tensor]:
    """One sample's ws to the image that each resolution's block would give."""
    x, images = None, {}
    for i, resolution in enumerate(generator.synthesis.block_resolutions):
        block = getattr(generator.synthesis, f"b{resolution}")
        first, second = (ws[0], ws[0]) if len(ws) == 1 else (ws[2 * i], ws[2 * i + 1])
        x = naive_layer(block.conv0, block.const if x is None and hasattr(block, "const") else x, first)
        x = naive_layer(block.conv1, x, second)
        weight = block.torgb.weight[:, :, 0, 0] / math.sqrt(len(x))
        images[resolution] = torch.einsum("oi,ihw->ohw", weight, x) + block.torgb.bias[:, None, None]
    return images


@torch.no_grad()
@pytest.mark.parametrize("letter", list("ABCDEF"))
def test_every_config_equals_its_definition(letter: str) -> None:
    generator = make(letter)
    ws = torch.randn(2, generator.num_ws, 12, dtype=torch.float64)
    expected = torch.stack([naive_images(generator, sample)[16] for sample in ws])
    assert_close(generator.synthesis(ws), expected)


@torch.no_grad()
def test_images_fade_in_over_repeated_pixels() -> None:
    generator = make("F")
    ws = torch.randn(1, generator.num_ws, 12, dtype=torch.float64)
    images = naive_images(generator, ws[0])
    half = images[8].repeat_interleave(2, dim=1).repeat_interleave(2, dim=2)
    assert_close(generator.synthesis(ws, lod=0.25)[0], 0.75 * images[16] + 0.25 * half)
    assert_close(generator.synthesis(ws, lod=1.0)[0], half)
    assert_close(generator.synthesis(ws, lod=1.0, full_size=False)[0], images[8])
    quarter = images[4].repeat_interleave(4, dim=1).repeat_interleave(4, dim=2)
    assert_close(generator.synthesis(ws, lod=2.0)[0], quarter)
    assert_close(generator.synthesis(ws, lod=9.0)[0], quarter)
    generator.synthesis.lod.fill_(1.0)
    assert_close(generator.synthesis(ws)[0], half)


def test_levels_of_detail_name_resolution_and_fade() -> None:
    assert growth(0.0, 64) == (64, 0.0)
    assert growth(1.25, 64) == (32, 0.25)
    assert growth(100.0, 64) == (4, 0.0)
    assert growth(-1.0, 64) == (64, 0.0)


def test_each_config_adds_one_thing_to_the_one_before() -> None:
    fields = {letter: dataclasses.asdict(config) for letter, config in STYLEGAN1_CONFIGS.items()}
    added = [
        {name for name in fields[a] if fields[a][name] != fields[b][name]}
        for a, b in zip("ABCDE", "BCDEF", strict=True)
    ]
    assert added == [
        {"blur_filter"},
        {"mapping_layers", "use_styles", "pixel_norm"},
        {"const_input"},
        {"use_noise"},
        {"style_mixing_prob"},
    ]
    assert PRESETS["stylegan1-f"] == StyleGAN1Config()


def test_without_a_mapping_network_w_is_the_normalised_z() -> None:
    generator = make("A")
    z = torch.randn(2, 12, dtype=torch.float64) * 3
    ws = generator.mapping(z)
    assert ws.shape == (2, 1, 12)
    assert_close(ws[:, 0], z / z.square().mean(dim=1, keepdim=True).sqrt())
    with pytest.raises(ConfigError, match="mapping network"):
        dataclasses.replace(STYLEGAN1_CONFIGS["A"], w_dim=64)


def test_adain_gives_each_map_the_mean_and_deviation_of_its_style() -> None:
    y = adain(torch.randn(2, 3, 8, 8) * 7 + 5, torch.tensor([[1.0, 2, 3]] * 2), torch.tensor([[4.0, 5, 6]] * 2))
    assert_close(y.mean(dim=[2, 3]), torch.tensor([[4.0, 5, 6]] * 2))
    assert_close(y.std(dim=[2, 3], unbiased=False), torch.tensor([[1.0, 2, 3]] * 2))


def test_pixel_norm_gives_unit_mean_square() -> None:
    assert_close(pixel_norm(torch.randn(2, 5, 3, 3) * 9).square().mean(dim=1), torch.ones(2, 3, 3))


def test_repeat_then_convolve_in_one_step() -> None:
    x, weight = torch.randn(2, 3, 5, 5), torch.randn(4, 3, 3, 3)
    repeated = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    assert_close(conv2d_nearest_up(x, weight), F.conv2d(repeated, weight, padding=1))


def test_gradients_reach_ws_twice() -> None:
    generator = make("F", img_resolution=8, channel_max=3)
    ws = torch.randn(1, generator.num_ws, 12, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(generator.synthesis, ws)
    assert torch.autograd.gradgradcheck(lambda ws: generator.synthesis(ws).square().sum(), ws)


def test_conditional_generators_normalise_code_and_label_together() -> None:
    generator = make("F", c_dim=3, mapping_layers=1)
    z, c = torch.randn(1, 12).double(), torch.eye(3)[1:2].double()
    mapping = generator.mapping
    embedded = mapping.embed.weight[:, 1] / math.sqrt(3) + mapping.embed.bias
    joined = torch.cat([z[0], embedded])
    joined = joined / joined.square().mean().sqrt()
    x = mapping.fc0.weight @ joined * (0.01 / math.sqrt(len(joined))) + mapping.fc0.bias * 0.01
    assert_close(mapping(z, c)[0, 0], F.leaky_relu(x, 0.2) * math.sqrt(2))
