"""The StyleGAN2 generator (Karras et al. 2020), parameter names as in the ADA-PyTorch checkpoints."""

import math
from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn

from stylegan_core.errors import ConfigError, LatentMismatchError
from stylegan_core.networks.configs import StyleGAN2Config
from stylegan_core.networks.generator import StyleGenerator
from stylegan_core.networks.layers import Conv2d, FullyConnected, normal
from stylegan_core.networks.protocol import FeatureLayer, Hook
from stylegan_core.ops.activation import SQRT2
from stylegan_core.ops.frozen import FrozenPointwise, FrozenStyledLayer, is_frozen, styled_layer
from stylegan_core.ops.modulation import demodulation, mix_channels
from stylegan_core.ops.resample import make_filter, upsample2d

NOISE_MODES = ("const", "random", "none")


def check_ws(ws: Tensor, num_ws: int, w_dim: int) -> None:
    """Refuse latents of another shape than [N, num_ws, w_dim]."""
    if ws.ndim != 3 or ws.shape[1:] != (num_ws, w_dim):
        raise LatentMismatchError(
            f"ws is {list(ws.shape)}; this generator takes [N, {num_ws}, {w_dim}]; "
            "invert the image again with this generator"
        )


def check_noise_mode(noise_mode: str) -> None:
    """Refuse an unknown `noise_mode`."""
    if noise_mode not in NOISE_MODES:
        raise ConfigError(f"noise_mode is {noise_mode!r}; choose one of {', '.join(NOISE_MODES)}")


def check_noise(noise: Mapping[str, Tensor], sides: Mapping[str, int], num: int) -> None:
    """Refuse noise inputs whose names or shapes do not fit the layers' `sides` in pixels."""
    for name, value in noise.items():
        if name not in sides:
            raise LatentMismatchError(
                f"no noise input is called {name!r}; this generator has {', '.join(sides) or 'none'}"
            )
        side = sides[name]
        if tuple(value.shape) not in ((side, side), (1, 1, side, side), (num, 1, side, side)):
            raise LatentMismatchError(f"noise {name!r} is {list(value.shape)}; expected [{side}, {side}]")


def check_hooks(hooks: Mapping[str, Hook], layers: Collection[str]) -> None:
    """Refuse hooks for layers that are not there."""
    for name in hooks:
        if name not in layers:
            raise LatentMismatchError(f"no feature layer is called {name!r}; this generator has {', '.join(layers)}")


class SynthesisLayer(nn.Module):
    """One modulated 3x3 convolution with noise, bias and leaky ReLU: [N, in, H, W] -> [N, out, H * up, W * up]."""

    def __init__(self, in_channels: int, out_channels: int, resolution: int, up: int, config: StyleGAN2Config) -> None:
        super().__init__()
        self.resolution, self.up = resolution, up
        self.use_noise, self.conv_clamp = config.use_noise, config.conv_clamp
        self.affine = FullyConnected(config.w_dim, in_channels, bias_init=1)
        self.weight = nn.Parameter(normal([out_channels, in_channels, 3, 3]))
        if config.use_noise:
            self.register_buffer("noise_const", normal([resolution, resolution]))
            self.noise_strength = nn.Parameter(torch.zeros([]))
        self.bias = nn.Parameter(torch.zeros([out_channels]))
        self.register_buffer("taps", make_filter(config.resample_filter), persistent=False)
        self.noise_const: Tensor
        self.taps: Tensor

    def forward(self, x: Tensor, w: Tensor, noise_mode: str, noise: Tensor | None = None, gain: float = 1.0) -> Tensor:
        """Return the layer's output for w [N, w_dim]; `noise` [H, W] or [N, 1, H, W] stands in for the stored one."""
        styles = self.affine(w)
        weight: Tensor = self.weight
        scale = demodulation(weight, styles) * (SQRT2 * gain)
        if x.dtype == torch.float16:  # keep the sums in range: demodulation undoes any scale of weights and styles
            limit, fan_in = styles.abs().amax(dim=1, keepdim=True), math.sqrt(weight[0].numel())
            styles, weight, scale = styles / limit, weight / fan_in, scale * limit * fan_in
        # lrelu(a x) = a lrelu(x) for a > 0: the gains go into the demodulation, the noise and the bias.
        shift = self.bias * (SQRT2 * gain)
        source = self._noise(len(x), noise_mode, noise)
        if source is not None:
            source = source * (self.noise_strength * (SQRT2 * gain))
        clamp = None if self.conv_clamp is None else self.conv_clamp * gain
        layer = FrozenStyledLayer.apply if is_frozen(self, x) else styled_layer
        y: Tensor = layer(x, styles, scale, shift, source, weight, self.taps, self.up, clamp)
        return y

    def _noise(self, num: int, noise_mode: str, noise: Tensor | None) -> Tensor | None:
        if not self.use_noise or noise_mode == "none":
            return None
        if noise_mode == "random":
            size = [num, 1, self.resolution, self.resolution]
            return torch.randn(size, device=self.weight.device, dtype=self.weight.dtype)
        chosen = self.noise_const if noise is None else noise
        return chosen if chosen.ndim == 4 else chosen[None, None]


class ToRGBLayer(nn.Module):
    """A modulated 1x1 convolution without demodulation: features [N, in, H, W] -> image [N, img_channels, H, W]."""

    def __init__(self, in_channels: int, config: StyleGAN2Config) -> None:
        super().__init__()
        self.conv_clamp = config.conv_clamp
        self.affine = FullyConnected(config.w_dim, in_channels, bias_init=1)
        self.weight = nn.Parameter(normal([config.img_channels, in_channels, 1, 1]))
        self.bias = nn.Parameter(torch.zeros([config.img_channels]))
        self.weight_gain = 1 / math.sqrt(in_channels)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Return the image in the dtype of x."""
        kernels = self.weight[:, :, 0, 0] * (self.affine(w) * self.weight_gain)[:, None, :]  # [N, img_channels, in]
        mix = FrozenPointwise.apply if is_frozen(self, x) else mix_channels
        x = mix(x, kernels, self.bias)
        return x if self.conv_clamp is None else x.clamp(-self.conv_clamp, self.conv_clamp)


class SynthesisBlock(nn.Module):
    """The layers of one resolution: features [N, in, R/2, R/2] -> [N, out, R, R], and the image so far."""

    def __init__(self, resolution: int, config: StyleGAN2Config) -> None:
        super().__init__()
        self.resolution, self.architecture = resolution, config.architecture
        self.is_first, is_last = resolution == 4, resolution == config.img_resolution
        out_channels = config.channels_at(resolution)
        self.num_conv = 1 if self.is_first else 2
        self.num_torgb = 1 if is_last or config.architecture == "skip" else 0
        self.register_buffer("taps", make_filter(config.resample_filter), persistent=False)
        self.taps: Tensor
        if self.is_first:
            self.const = nn.Parameter(normal([out_channels, 4, 4]))
        else:
            in_channels = config.channels_at(resolution // 2)
            self.conv0 = SynthesisLayer(in_channels, out_channels, resolution, up=2, config=config)
            if config.architecture == "resnet":
                taps = config.resample_filter
                self.skip = Conv2d(in_channels, out_channels, 1, bias=False, up=2, resample_filter=taps)
        self.conv1 = SynthesisLayer(out_channels, out_channels, resolution, up=1, config=config)
        if self.num_torgb:
            self.torgb = ToRGBLayer(out_channels, config)

    def forward(
        self,
        x: Tensor | None,
        img: Tensor | None,
        ws: Tensor,
        dtype: torch.dtype,
        noise_mode: str,
        noise: Mapping[str, Tensor],
        hook: Hook | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Return features and image for ws [N, num_conv + num_torgb, w_dim]; convolutions run in `dtype`.

        The features go through `hook` before an image is made of them."""
        replaced = {name: noise.get(f"b{self.resolution}.{name}") for name in ("conv0", "conv1")}
        if x is None:
            x = self.const.to(dtype).expand(len(ws), -1, -1, -1)
            x = self.conv1(x, ws[:, 0], noise_mode, replaced["conv1"])
        elif self.architecture == "resnet":
            x = x.to(dtype)
            skip = self.skip(x, gain=math.sqrt(0.5))
            x = self.conv0(x, ws[:, 0], noise_mode, replaced["conv0"])
            x = skip + self.conv1(x, ws[:, 1], noise_mode, replaced["conv1"], gain=math.sqrt(0.5))
        else:
            x = self.conv0(x.to(dtype), ws[:, 0], noise_mode, replaced["conv0"])
            x = self.conv1(x, ws[:, 1], noise_mode, replaced["conv1"])
        if hook is not None:
            x = hook(x)
        if img is not None:
            img = upsample2d(img, self.taps)
        if self.num_torgb:
            rgb = self.torgb(x, ws[:, self.num_conv]).to(ws.dtype)
            img = rgb if img is None else img + rgb
        return x, img


class SynthesisNetwork(nn.Module):
    """ws [N, num_ws, w_dim] -> images [N, img_channels, R, R]."""

    def __init__(self, config: StyleGAN2Config) -> None:
        super().__init__()
        self.num_ws, self.w_dim = config.num_ws, config.w_dim
        self.block_resolutions = config.block_resolutions
        self.num_fp16_res = config.num_fp16_res
        self.half_dtype = torch.float16  # or bfloat16: the format of the num_fp16_res highest blocks on a GPU
        for resolution in self.block_resolutions:
            setattr(self, f"b{resolution}", SynthesisBlock(resolution, config))

    def noise_layers(self) -> dict[str, SynthesisLayer]:
        """Return the layers that take noise, by the name of their input (`b8.conv0`)."""
        layers = {name: module for name, module in self.named_modules() if isinstance(module, SynthesisLayer)}
        return {name: layer for name, layer in layers.items() if layer.use_noise}

    def feature_layers(self) -> dict[str, FeatureLayer]:
        """Return the layers that take hooks: the last convolution of each resolution."""
        layers, num_ws = {}, 0
        for resolution in self.block_resolutions:
            block: SynthesisBlock = getattr(self, f"b{resolution}")
            num_ws += block.num_conv
            layers[f"b{resolution}.conv1"] = FeatureLayer(block.conv1.weight.shape[0], resolution, num_ws)
        return layers

    def forward(
        self,
        ws: Tensor,
        noise_mode: str = "const",
        noise: Mapping[str, Tensor] | None = None,
        hooks: Mapping[str, Hook] | None = None,
    ) -> Tensor:
        """Render ws; `noise` replaces constant noise inputs by name, each [H, W] or [N, 1, H, W].

        `hooks` are functions by the name of a feature layer, which its output goes through."""
        check_ws(ws, self.num_ws, self.w_dim)
        check_noise_mode(noise_mode)
        noise = noise or {}
        check_noise(noise, {name: layer.resolution for name, layer in self.noise_layers().items()}, len(ws))
        hooks = hooks or {}
        check_hooks(hooks, [f"b{resolution}.conv1" for resolution in self.block_resolutions])
        x, img, first = None, None, 0
        for resolution in self.block_resolutions:
            block: SynthesisBlock = getattr(self, f"b{resolution}")
            part = ws[:, first : first + block.num_conv + block.num_torgb]
            hook = hooks.get(f"b{resolution}.conv1")
            x, img = block(x, img, part, self._dtype(resolution, ws), noise_mode, noise, hook)
            first += block.num_conv
        assert img is not None
        return img.contiguous()

    def _dtype(self, resolution: int, ws: Tensor) -> torch.dtype:
        lowest_half = self.block_resolutions[-1] * 2 >> self.num_fp16_res
        return self.half_dtype if ws.is_cuda and resolution >= max(lowest_half, 8) else ws.dtype


class StyleGAN2Generator(StyleGenerator):
    """StyleGAN2: z -> ws -> image, satisfying `networks.protocol.Generator`."""

    def __init__(self, config: StyleGAN2Config) -> None:
        super().__init__(config, SynthesisNetwork(config), config.joint_normalization)
