"""The StyleGAN1 generator with the configs A to F of its paper (Karras et al. 2019, table 1), growing progressively."""

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan_core.networks.configs import StyleGAN1Config
from stylegan_core.networks.generator import StyleGenerator
from stylegan_core.networks.layers import Conv2d, FullyConnected, normal
from stylegan_core.networks.protocol import FeatureLayer, Hook
from stylegan_core.networks.stylegan2 import check_hooks, check_noise, check_noise_mode, check_ws
from stylegan_core.ops.activation import LRELU_SLOPE, SQRT2
from stylegan_core.ops.resample import fast_format, fir2d, make_filter


def growth(lod: float, resolution: int) -> tuple[int, float]:
    """Return (active resolution, weight of the one below) for a level of detail: 0 is full size, 1.3 is 30 % of the
    way from half to a quarter of it."""
    lod = min(max(lod, 0.0), math.log2(resolution) - 2)
    return resolution >> int(lod), lod - int(lod)


def pixel_norm(x: Tensor) -> Tensor:
    """Scale each pixel's feature vector in x [N, C, H, W] to unit mean square (Progressive GAN, section 4.2)."""
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


def adain(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Normalise each feature map of x [N, C, H, W] and give it `scale` and `shift` [N, C] (StyleGAN, eq. 1)."""
    mean = x.mean(dim=[2, 3])
    factor = scale * (x.var(dim=[2, 3], unbiased=False) + 1e-8).rsqrt()
    offset = shift - mean * factor
    return torch.addcmul(offset[:, :, None, None], x, factor[:, :, None, None])


def conv2d_nearest_up(x: Tensor, weight: Tensor) -> Tensor:
    """Double x [N, in, H, W] by repeating pixels, then convolve with `weight` [out, in, 3, 3], in one step.

    Each output pixel sees two by two inputs, so the kernel's taps that meet the same input are added first."""
    padded = F.pad(weight.flip(2, 3), [1, 1, 1, 1])
    merged = padded[:, :, 1:, 1:] + padded[:, :, :-1, 1:] + padded[:, :, 1:, :-1] + padded[:, :, :-1, :-1]
    return F.conv_transpose2d(x, merged.transpose(0, 1), stride=2, padding=1)


class StyleLayer(nn.Module):
    """One layer and its epilogue: noise, bias, leaky ReLU, and normalisation or style; `kind` says what comes first.

    const: the features as they are; dense: w -> [N, C, 4, 4]; conv: 3x3; up: doubles the resolution, then 3x3."""

    def __init__(
        self, in_channels: int, out_channels: int, resolution: int, kind: str, config: StyleGAN1Config
    ) -> None:
        super().__init__()
        self.resolution, self.kind, self.out_channels = resolution, kind, out_channels
        self.use_noise, self.use_styles, self.pixel_norm = config.use_noise, config.use_styles, config.pixel_norm
        if kind == "dense":
            self.weight = nn.Parameter(normal([out_channels * 16, in_channels]))
            self.weight_gain = SQRT2 / 4 / math.sqrt(in_channels)
        elif kind != "const":
            self.weight = nn.Parameter(normal([out_channels, in_channels, 3, 3]))
            self.weight_gain = SQRT2 / math.sqrt(in_channels * 9)
        self.bias = nn.Parameter(torch.zeros([out_channels]))
        if self.use_noise:
            self.register_buffer("noise_const", normal([resolution, resolution]))
            self.noise_strength = nn.Parameter(torch.zeros([out_channels]))
        if self.use_styles:
            self.affine = FullyConnected(config.w_dim, 2 * out_channels)
        self.blurs = kind == "up" and len(config.blur_filter) > 1
        if self.blurs:
            self.register_buffer("taps", make_filter(config.blur_filter), persistent=False)
        self.noise_const: Tensor
        self.taps: Tensor

    def forward(self, x: Tensor, w: Tensor, noise_mode: str, noise: Tensor | None = None) -> Tensor:
        """Return [N, out, resolution, resolution] for features x and w [N, w_dim]."""
        if self.kind == "dense":
            x = F.linear(w * self.weight_gain, self.weight).reshape(-1, self.out_channels, 4, 4)
        elif self.kind == "up":
            x = conv2d_nearest_up(x, self.weight * self.weight_gain)
            before = len(self.taps) // 2 if self.blurs else 0
            x = fir2d(x, self.taps, (before, len(self.taps) - 1 - before)) if self.blurs else x
        elif self.kind == "conv":
            x = F.conv2d(x, self.weight * self.weight_gain, padding=1)
        x = x + self.bias[:, None, None]
        if self.use_noise and noise_mode != "none":
            x = torch.addcmul(x, self._noise(len(x), noise_mode, noise), self.noise_strength[:, None, None])
        x = F.leaky_relu_(x, LRELU_SLOPE)
        if self.pixel_norm:
            x = pixel_norm(x)
        if self.use_styles:
            scale, shift = self.affine(w).chunk(2, dim=1)
            x = adain(x, scale + 1, shift)
        return x

    def _noise(self, num: int, noise_mode: str, noise: Tensor | None) -> Tensor:
        if noise_mode == "random":
            size = [num, 1, self.resolution, self.resolution]
            return torch.randn(size, device=self.bias.device, dtype=self.bias.dtype)
        chosen = self.noise_const if noise is None else noise
        return chosen if chosen.ndim == 4 else chosen[None, None]


class StyleGAN1Block(nn.Module):
    """The two layers of one resolution, and its own way to an image."""

    def __init__(self, resolution: int, config: StyleGAN1Config) -> None:
        super().__init__()
        self.resolution = resolution
        channels = config.channels_at(resolution)
        if resolution > 4:
            self.conv0 = StyleLayer(config.channels_at(resolution // 2), channels, resolution, "up", config)
        elif config.const_input:
            self.const = nn.Parameter(torch.ones([channels, 4, 4]))
            self.conv0 = StyleLayer(channels, channels, 4, "const", config)
        else:
            self.conv0 = StyleLayer(config.w_dim, channels, 4, "dense", config)
        self.conv1 = StyleLayer(channels, channels, resolution, "conv", config)
        self.torgb = Conv2d(channels, config.img_channels, 1)

    def forward(self, x: Tensor | None, ws: Tensor, noise_mode: str, noise: Mapping[str, Tensor]) -> Tensor:
        """Return features [N, C, R, R] for ws [N, 2, w_dim]."""
        if x is None:
            constant = getattr(self, "const", None)
            x = ws if constant is None else constant.expand(len(ws), -1, -1, -1).clone()
        x = x if x.ndim == 3 else fast_format(x)
        x = self.conv0(x, ws[:, 0], noise_mode, noise.get(f"b{self.resolution}.conv0"))
        features: Tensor = self.conv1(fast_format(x), ws[:, 1], noise_mode, noise.get(f"b{self.resolution}.conv1"))
        return features


class StyleGAN1Synthesis(nn.Module):
    """ws [N, num_ws, w_dim] -> images [N, img_channels, R, R]; while `lod` > 0 the upper blocks are not used yet."""

    def __init__(self, config: StyleGAN1Config) -> None:
        super().__init__()
        self.num_ws, self.w_dim, self.img_resolution = config.num_ws, config.w_dim, config.img_resolution
        self.block_resolutions = config.block_resolutions
        self.register_buffer("lod", torch.zeros([]))  # level of detail reached: see `growth`
        self.lod: Tensor
        for resolution in self.block_resolutions:
            setattr(self, f"b{resolution}", StyleGAN1Block(resolution, config))

    def noise_layers(self) -> dict[str, StyleLayer]:
        """Return the layers that take noise, by the name of their input (`b8.conv0`)."""
        layers = {name: module for name, module in self.named_modules() if isinstance(module, StyleLayer)}
        return {name: layer for name, layer in layers.items() if layer.use_noise}

    def feature_layers(self) -> dict[str, FeatureLayer]:
        """Return the layers that take hooks: the second of each resolution."""
        layers = {}
        for i, resolution in enumerate(self.block_resolutions):
            block: StyleGAN1Block = getattr(self, f"b{resolution}")
            num_ws = min(2 * i + 2, self.num_ws)
            layers[f"b{resolution}.conv1"] = FeatureLayer(block.conv1.out_channels, resolution, num_ws)
        return layers

    def forward(
        self,
        ws: Tensor,
        noise_mode: str = "const",
        noise: Mapping[str, Tensor] | None = None,
        hooks: Mapping[str, Hook] | None = None,
        lod: float | None = None,
        full_size: bool = True,
    ) -> Tensor:
        """Render ws at level of detail `lod` (None: the stored one).

        Between two levels the new image fades in over the old one, pixels repeated (Progressive GAN, figure 2).
        `hooks` are functions by the name of a feature layer, which its output goes through.
        `full_size=False` returns the image at the active resolution, not repeated to R."""
        check_ws(ws, self.num_ws, self.w_dim)
        check_noise_mode(noise_mode)
        noise = noise or {}
        check_noise(noise, {name: layer.resolution for name, layer in self.noise_layers().items()}, len(ws))
        hooks = hooks or {}
        check_hooks(hooks, [f"b{resolution}.conv1" for resolution in self.block_resolutions])
        top, fade = growth(self.lod.item() if lod is None else lod, self.img_resolution)
        ws = ws.expand(-1, 2 * len(self.block_resolutions), -1)  # a generator without styles has one w
        x: Tensor | None = None
        below: Tensor | None = None
        for i, resolution in enumerate(self.block_resolutions):
            block: StyleGAN1Block = getattr(self, f"b{resolution}")
            x = block(x, ws[:, 2 * i : 2 * i + 2], noise_mode, noise)
            if hook := hooks.get(f"b{resolution}.conv1"):
                x = hook(x)
            if resolution == top:
                break
            if 2 * resolution == top and fade > 0:
                below = block.torgb(x)
        assert x is not None
        img: Tensor = block.torgb(x)
        if below is not None:
            img = img.lerp(F.interpolate(below, scale_factor=2.0, mode="nearest"), fade)
        if full_size and top < self.img_resolution:
            img = F.interpolate(img, scale_factor=float(self.img_resolution // top), mode="nearest")
        return img.contiguous()


class StyleGAN1Generator(StyleGenerator):
    """StyleGAN1: z -> ws -> image, satisfying `networks.protocol.Generator`."""

    def __init__(self, config: StyleGAN1Config) -> None:
        super().__init__(config, StyleGAN1Synthesis(config), joint_normalization=True)
