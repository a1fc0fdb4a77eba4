"""StyleGAN2 against a loop over samples written from the paper, and the promises of the generator protocol."""

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.testing import assert_close

from stylegan_core.errors import ConfigError, LatentMismatchError
from stylegan_core.networks.configs import StyleGAN2Config, config_from_dict, config_to_dict
from stylegan_core.networks.mapping import truncate
from stylegan_core.networks.stylegan2 import StyleGAN2Generator, SynthesisLayer

SMALL = StyleGAN2Config(z_dim=16, w_dim=24, img_resolution=16, mapping_layers=2, channel_base=128, channel_max=16)


def make(**changes: object) -> StyleGAN2Generator:
    generator = StyleGAN2Generator(dataclasses.replace(SMALL, **changes))
    for layer in generator.synthesis.noise_layers().values():
        torch.nn.init.normal_(layer.noise_strength)
    for name, parameter in generator.named_parameters():
        if name.endswith("bias") and "affine" not in name:
            torch.nn.init.normal_(parameter)
    return generator.eval()


def dense(layer: torch.nn.Module, x: Tensor, lr_multiplier: float = 1.0) -> Tensor:
    """Apply an equalised dense layer to one sample's x [in]."""
    return layer.weight @ x * (lr_multiplier / math.sqrt(x.numel())) + layer.bias * lr_multiplier


def conv_up(x: Tensor, kernel: Tensor) -> Tensor:
    """Insert zeros, convolve, low-pass with [1, 3, 3, 1] x 4 / 64, on one sample [C, H, W]."""
    size, side = kernel.shape[-1], 2 * x.shape[-1]
    spread = x.new_zeros([x.shape[0], side - 1, side - 1])
    spread[:, ::2, ::2] = x
    y = F.conv2d(spread[None], kernel.flip(2, 3), padding=size - 1)
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=x.dtype) / 4
    full = F.conv2d(y, torch.outer(taps, taps).expand(y.shape[1], 1, 4, 4), padding=3, groups=y.shape[1])[0]
    start = size - 1 - size // 2 + 1
    return full[:, start : start + side, start : start + side]


def naive_layer(layer: SynthesisLayer, x: Tensor, w: Tensor) -> Tensor:
    """One sample through one layer, with kernels of its own."""
    kernel = layer.weight * dense(layer.affine, w)[None, :, None, None]
    kernel = kernel / (kernel.square().sum(dim=[1, 2, 3], keepdim=True) + 1e-8).sqrt()
    y = conv_up(x, kernel) if layer.up == 2 else F.conv2d(x[None], kernel, padding=1)[0]
    if layer.use_noise:
        y = y + layer.noise_const * layer.noise_strength
    return F.leaky_relu(y + layer.bias[:, None, None], 0.2) * math.sqrt(2)


def naive_synthesis(generator: StyleGAN2Generator, ws: Tensor) -> Tensor:
    """One sample's ws [num_ws, w_dim] to its image."""
    x = img = None
    index = 0
    for resolution in generator.synthesis.block_resolutions:
        block = getattr(generator.synthesis, f"b{resolution}")
        if x is None:
            x = naive_layer(block.conv1, block.const, ws[0])
            index = 1
        else:
            before = x
            x = naive_layer(block.conv0, x, ws[index])
            x = naive_layer(block.conv1, x, ws[index + 1])
            index += 2
            if block.architecture == "resnet":
                skip = conv_up(before, block.skip.weight / math.sqrt(before.shape[0]))
                x = (x + skip) * math.sqrt(0.5)
        if img is not None:
            img = conv_up(img, torch.eye(len(img), dtype=img.dtype)[:, :, None, None])
        if block.num_torgb:
            styles = dense(block.torgb.affine, ws[index]) / math.sqrt(x.shape[0])
            rgb = torch.einsum("oi,ihw->ohw", block.torgb.weight[:, :, 0, 0] * styles, x)
            rgb = rgb + block.torgb.bias[:, None, None]
            img = rgb if img is None else img + rgb
    return img


@pytest.mark.parametrize("architecture", ["orig", "skip", "resnet"])
@pytest.mark.parametrize("img_channels", [1, 3])
def test_synthesis_equals_a_loop_over_samples(architecture: str, img_channels: int) -> None:
    generator = make(architecture=architecture, img_channels=img_channels).double()
    ws = torch.randn(2, generator.num_ws, 24, dtype=torch.float64)
    expected = torch.stack([naive_synthesis(generator, sample) for sample in ws])
    assert_close(generator.synthesis(ws), expected)


def test_mapping_equals_its_equations() -> None:
    generator = make(c_dim=3, mapping_layers=8, layer_features=20, embed_features=10).double()
    mapping, z, c = generator.mapping, torch.randn(2, 16).double(), torch.randn(2, 3).double()
    for i in range(2):
        embedded = dense(mapping.embed, c[i])
        parts = [part / part.square().mean().sqrt() for part in (z[i], embedded)]
        x = torch.cat(parts)
        for layer in range(8):
            x = F.leaky_relu(dense(getattr(mapping, f"fc{layer}"), x, 0.01), 0.2) * math.sqrt(2)
        assert_close(mapping(z, c)[i], x.expand(generator.num_ws, -1), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("resolution", [8, 32, 64])
def test_every_resolution_renders_its_size_and_counts_its_styles(resolution: int) -> None:
    generator = make(img_resolution=resolution)
    assert generator.num_ws == 2 * int(math.log2(resolution)) - 2
    assert generator(torch.randn(1, 16)).shape == (1, 3, resolution, resolution)


def test_1024_pixels_have_eighteen_styles() -> None:
    assert StyleGAN2Config(img_resolution=1024).num_ws == 18
    assert StyleGAN2Config(img_resolution=1024).channels_at(1024) == 32


def test_each_style_reaches_the_layers_it_is_named_for() -> None:
    generator = make()
    ws = torch.randn(1, generator.num_ws, 24)
    reference = generator.synthesis(ws)
    for i in range(generator.num_ws):
        changed = ws.clone()
        changed[:, i] += 1
        assert not torch.allclose(generator.synthesis(changed), reference, atol=1e-4)


def test_noise_modes_and_replacements() -> None:
    generator = make()
    ws = torch.randn(2, generator.num_ws, 24)
    const = generator.synthesis(ws)
    assert torch.equal(const, generator.synthesis(ws))
    assert_close(generator.synthesis(ws, noise=dict(generator.noise)), const)
    batch = {name: value.expand(2, 1, -1, -1) for name, value in generator.noise.items()}
    assert_close(generator.synthesis(ws, noise=batch), const)
    silent = {name: torch.zeros_like(value) for name, value in generator.noise.items()}
    assert_close(generator.synthesis(ws, noise=silent), generator.synthesis(ws, noise_mode="none"))
    assert not torch.equal(generator.synthesis(ws, noise_mode="random"), generator.synthesis(ws, noise_mode="random"))
    assert list(generator.noise) == ["b4.conv1", "b8.conv0", "b8.conv1", "b16.conv0", "b16.conv1"]
    assert make(use_noise=False).noise == {}


def test_noise_inputs_are_differentiable() -> None:
    generator = make()
    noise = {name: value.clone().requires_grad_() for name, value in generator.noise.items()}
    image = generator.synthesis(torch.randn(1, generator.num_ws, 24), noise=noise)
    gradients = torch.autograd.grad(image.square().sum(), list(noise.values()))
    assert all(bool(gradient.abs().sum() > 0) for gradient in gradients)


def test_images_of_a_batch_do_not_depend_on_each_other() -> None:
    generator = make()
    ws = torch.randn(3, generator.num_ws, 24)
    alone = torch.cat([generator.synthesis(ws[i : i + 1]) for i in range(3)])
    assert_close(generator.synthesis(ws), alone, rtol=1e-4, atol=1e-4)


def test_truncation_is_the_identity_at_one_and_the_mean_at_zero() -> None:
    ws, w_avg = torch.randn(2, 6, 24), torch.randn(24)
    assert torch.equal(truncate(ws, w_avg), ws)
    assert_close(truncate(ws, w_avg, 0.0), w_avg.expand(2, 6, 24))
    half = truncate(ws, w_avg, 0.5, cutoff=2)
    assert_close(half[:, :2], (ws[:, :2] + w_avg) / 2)
    assert torch.equal(half[:, 2:], ws[:, 2:])


def test_the_running_mean_of_w_moves_by_its_decay() -> None:
    generator = make(w_avg_beta=0.75)
    z = torch.randn(64, 16)
    w = generator.mapping(z)[:, 0]
    generator.mapping(z, update_w_avg=True)
    assert_close(generator.w_avg, 0.25 * w.mean(dim=0))


def test_clamping_bounds_every_layer() -> None:
    generator = make(conv_clamp=0.5)
    layer = generator.synthesis.b8.conv0
    x = layer(torch.randn(1, 16, 4, 4) * 100, torch.randn(1, 24), "none")
    assert x.abs().max() == 0.5


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_sixteen_bit_layers_stay_close_and_in_range(dtype: torch.dtype) -> None:
    """What a GPU runs for num_fp16_res, here on the CPU: inputs and styles far beyond what 16 bit sums would hold."""
    generator = make()
    for name in ("conv0", "conv1"):
        layer = getattr(generator.synthesis.b8, name)
        x, w = torch.randn(2, 16, 4 if layer.up == 2 else 8, 4 if layer.up == 2 else 8) * 200, torch.randn(2, 24) * 500
        expected = layer(x, w, "const")
        y = layer(x.to(dtype), w, "const")
        assert y.dtype == dtype
        step = torch.finfo(dtype).eps
        assert_close(y.float(), expected, rtol=0, atol=16 * step * expected.abs().max().item())


def test_path_length_differentiates_twice() -> None:
    generator = make(img_resolution=8, channel_base=16).double()
    ws = torch.randn(2, generator.num_ws, 24, dtype=torch.float64, requires_grad=True)
    direction = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    steps = torch.randn(4, 2, generator.num_ws, 24, dtype=torch.float64)  # few: numeric gradients are slow
    amounts = torch.randn(4, dtype=torch.float64, requires_grad=True)

    def render(ws: Tensor) -> Tensor:
        return (generator.synthesis(ws) * direction).sum()

    def along(amounts: Tensor) -> Tensor:
        return render((amounts.view(-1, 1, 1, 1) * steps).sum(dim=0))

    assert torch.autograd.gradcheck(along, amounts)
    assert torch.autograd.gradgradcheck(along, amounts)
    (gradient,) = torch.autograd.grad(render(ws), ws, create_graph=True)
    gradient.square().sum().backward()
    reached = [name for name, parameter in generator.synthesis.named_parameters() if parameter.grad is not None]
    assert any(name.endswith("conv1.weight") for name in reached)


def test_latents_of_another_shape_are_refused_with_both_shapes() -> None:
    generator = make()
    with pytest.raises(LatentMismatchError, match=r"\[1, 4, 24\].*\[N, 6, 24\]"):
        generator.synthesis(torch.randn(1, 4, 24))
    with pytest.raises(LatentMismatchError, match=r"\[2, 9\].*16"):
        generator.mapping(torch.randn(2, 9))
    with pytest.raises(LatentMismatchError, match="labels are missing"):
        make(c_dim=3).mapping(torch.randn(2, 16))
    ws = torch.randn(1, 6, 24)
    with pytest.raises(LatentMismatchError, match=r"b64\.conv0"):
        generator.synthesis(ws, noise={"b64.conv0": torch.zeros(64, 64)})
    with pytest.raises(LatentMismatchError, match=r"expected \[8, 8\]"):
        generator.synthesis(ws, noise={"b8.conv0": torch.zeros(4, 4)})
    with pytest.raises(ConfigError, match="noise_mode"):
        generator.synthesis(ws, noise_mode="loud")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"img_resolution": 48}, "power of two"),
        ({"img_resolution": 4096}, "power of two"),
        ({"architecture": "dense"}, "architecture"),
        ({"w_dim": -1}, "w_dim"),
        ({"z_dim": 10**9}, "z_dim"),
        ({"img_channels": 0}, "img_channels"),
        ({"channels": (8, 8)}, "channels"),
        ({"channels": (10**6, 8, 8)}, "channels"),
    ],
)
def test_configs_that_make_no_sense_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(SMALL, **changes)


def test_configs_survive_json_and_refuse_unknown_fields() -> None:
    import json

    for config in (SMALL, dataclasses.replace(SMALL, channels=(8, 6, 4), conv_clamp=256)):
        assert config_from_dict(json.loads(json.dumps(config_to_dict(config)))) == config
    with pytest.raises(ConfigError, match="depth"):
        config_from_dict({**config_to_dict(SMALL), "depth": 3})
    with pytest.raises(ConfigError, match="stylegan9"):
        config_from_dict({"arch": "stylegan9"})


def test_channel_tables_set_the_widths() -> None:
    generator = make(channels=(5, 7, 9))
    assert [getattr(generator.synthesis, f"b{r}").conv1.weight.shape[0] for r in (4, 8, 16)] == [5, 7, 9]
    assert generator(torch.randn(1, 16)).shape == (1, 3, 16, 16)
