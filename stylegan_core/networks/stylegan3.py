"""The alias-free StyleGAN3 generators T and R (Karras et al. 2021), parameter names as in NVIDIA's checkpoints."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan_core.errors import LatentMismatchError
from stylegan_core.networks.configs import StyleGAN3Config
from stylegan_core.networks.generator import StyleGenerator
from stylegan_core.networks.layers import FullyConnected, normal
from stylegan_core.networks.protocol import FeatureLayer, Hook
from stylegan_core.networks.stylegan2 import check_hooks, check_ws
from stylegan_core.ops.activation import LRELU_SLOPE, SQRT2
from stylegan_core.ops.alias_free import design_lowpass, filtered_lrelu
from stylegan_core.ops.frozen import FrozenScaledConv, is_frozen, scaled_conv
from stylegan_core.ops.modulation import demodulation


@dataclass(frozen=True)
class LayerPlan:
    """The signal processing of one layer: rates and sizes in pixels, frequencies in cycles per image."""

    rate: int
    cutoff: float
    half_width: float  # of the transition band
    size: int  # side of the feature maps, margin included
    channels: int


def plan_layers(config: StyleGAN3Config) -> list[LayerPlan]:
    """Return the plan of each layer's output, the image last (appendix A: geometric progression of cutoffs)."""
    last_cutoff = config.img_resolution / 2
    last_stopband = last_cutoff * config.last_stopband_rel
    plans = []
    for i in range(config.num_layers + 1):
        progress = min(i / (config.num_layers - config.num_critical), 1)
        cutoff = config.first_cutoff * (last_cutoff / config.first_cutoff) ** progress
        stopband = config.first_stopband * (last_stopband / config.first_stopband) ** progress
        # The tolerance absorbs rounding where twice the stop band is a power of two itself.
        rate = round(2 ** math.ceil(math.log2(min(stopband * 2, config.img_resolution)) - 1e-9))
        if i == config.num_layers:
            channels = config.img_channels
        elif config.channels is not None:
            channels = config.channels[i]
        else:
            channels = round(min(config.channel_base / 2 / cutoff, config.channel_max))
        # The last two layers need no margin: what follows them is as wide as one pixel.
        size = config.img_resolution if i >= config.num_layers - 1 else rate + 2 * config.margin_size
        plans.append(LayerPlan(rate, cutoff, max(stopband, rate / 2) - cutoff, size, channels))
    return plans


class SynthesisInput(nn.Module):
    """Fourier features under a learned rotation and translation: w [N, w_dim] -> [N, C, size, size]."""

    def __init__(self, plan: LayerPlan, w_dim: int) -> None:
        super().__init__()
        self.size, self.rate, self.bandwidth = plan.size, plan.rate, plan.cutoff
        self.weight = nn.Parameter(normal([plan.channels, plan.channels]))
        self.affine = FullyConnected(w_dim, 4)
        self.register_buffer("transform", torch.empty([3, 3]))  # the inverse of what the image goes through
        self.register_buffer("freqs", torch.empty([plan.channels, 2]))
        self.register_buffer("phases", torch.empty([plan.channels]))
        if not self.weight.is_meta:
            self._initialise()
        self.transform: Tensor
        self.freqs: Tensor
        self.phases: Tensor

    @torch.no_grad()
    def _initialise(self) -> None:
        self.affine.weight.zero_()
        self.affine.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0]))
        self.transform.copy_(torch.eye(3))
        # Frequencies spread over the disc of radius `bandwidth` (appendix C), phases over a period.
        freqs = torch.randn_like(self.freqs)
        radii = freqs.norm(dim=1, keepdim=True)
        self.freqs.copy_(freqs / (radii * radii.square().exp().pow(0.25)) * self.bandwidth)
        self.phases.uniform_(-0.5, 0.5)

    def forward(self, w: Tensor) -> Tensor:
        """Return the features; the learned transform (rotation, then translation) comes before `transform`."""
        t = self.affine(w)  # [N, 4]: cosine, sine, x, y
        t = t / t[:, :2].norm(dim=1, keepdim=True)
        zero, one = torch.zeros_like(t[:, 0]), torch.ones_like(t[:, 0])
        rotation = torch.stack([t[:, 0], -t[:, 1], zero, t[:, 1], t[:, 0], zero, zero, zero, one], dim=1).view(-1, 3, 3)
        shift = torch.stack([one, zero, -t[:, 2], zero, one, -t[:, 3], zero, zero, one], dim=1).view(-1, 3, 3)
        transform = rotation @ shift @ self.transform.to(t.dtype)  # [N, 3, 3]
        base = self.freqs.to(t.dtype)
        phases = self.phases.to(t.dtype) + (base @ transform[:, :2, 2:]).squeeze(2)  # [N, C]
        freqs = base @ transform[:, :2, :2]  # [N, C, 2]
        # Fade out what the transform pushed past the Nyquist limit.
        amplitudes = (1 - (freqs.norm(dim=2) - self.bandwidth) / (self.rate / 2 - self.bandwidth)).clamp(0, 1)
        place = (torch.arange(self.size, device=w.device, dtype=t.dtype) + 0.5 - self.size / 2) / self.rate
        angles = (freqs[:, :, :1] * place)[:, :, None, :] + (freqs[:, :, 1:] * place)[:, :, :, None]  # [N, C, y, x]
        features = (2 * math.pi * (angles + phases[:, :, None, None])).sin() * amplitudes[:, :, None, None]
        weight = self.weight.to(t.dtype) / math.sqrt(self.weight.shape[1])
        return F.conv2d(features, weight[:, :, None, None])


class AliasFreeLayer(nn.Module):
    """A modulated convolution and the alias-free nonlinearity: [N, in, s, s] -> [N, out, t, t]."""

    def __init__(self, index: int, source: LayerPlan, target: LayerPlan, config: StyleGAN3Config) -> None:
        super().__init__()
        self.is_torgb = index == config.num_layers
        is_critical = index >= config.num_layers - config.num_critical
        self.kernel_size = 1 if self.is_torgb else config.conv_kernel
        self.conv_clamp, self.magnitude_ema_beta = config.conv_clamp, config.magnitude_ema_beta
        self.use_half = target.rate * 2**config.num_fp16_res > config.img_resolution
        self.affine = FullyConnected(config.w_dim, source.channels, bias_init=1)
        size = self.kernel_size
        self.weight = nn.Parameter(normal([target.channels, source.channels, size, size]))
        self.bias = nn.Parameter(torch.zeros([target.channels]))
        self.register_buffer("magnitude_ema", torch.ones([]))
        inner = max(source.rate, target.rate) * (1 if self.is_torgb else config.lrelu_upsampling)
        self.up, self.down = inner // source.rate, inner // target.rate
        up_taps = config.filter_size * self.up if self.up > 1 and not self.is_torgb else 1
        down_taps = config.filter_size * self.down if self.down > 1 and not self.is_torgb else 1
        radial = config.use_radial_filters and not is_critical
        up_filter = design_lowpass(up_taps, source.cutoff, source.half_width * 2, inner)
        down_filter = design_lowpass(down_taps, target.cutoff, target.half_width * 2, inner, radial)
        self.register_buffer("up_filter", up_filter)
        self.register_buffer("down_filter", down_filter)
        self.magnitude_ema: Tensor
        self.up_filter: Tensor | None
        self.down_filter: Tensor | None
        # What the output needs at the inner rate, less what the (full) convolution and the filters leave.
        total = (target.size - 1) * self.down + 1 - (source.size + size - 1) * self.up + up_taps + down_taps - 2
        before = (total + self.up) // 2  # shifts by half a sample, so that pixel centres keep their places
        self.padding = (before, total - before)

    def forward(self, x: Tensor, w: Tensor, dtype: torch.dtype, update_emas: bool = False) -> Tensor:
        """Return the features, or for the last layer the image, in `dtype`."""
        if update_emas:
            with torch.no_grad():
                magnitude = x.detach().float().square().mean()
                self.magnitude_ema.copy_(magnitude.lerp(self.magnitude_ema, self.magnitude_ema_beta))
        styles = self.affine(w)
        weight: Tensor = self.weight
        input_gain = self.magnitude_ema.rsqrt()
        if self.is_torgb:
            styles = styles / math.sqrt(weight[0].numel())
            scale = None
        else:
            limit = styles.abs().amax(dim=1, keepdim=True).clamp_min(1e-8)
            # Demodulation undoes any scale of weights and styles: keep both small for 16 bit.
            styles, weight = styles / limit, weight / math.sqrt(weight[0].numel())
            scale = demodulation(weight, styles)
        x, styles, bias = x.to(dtype), styles * input_gain, None
        if scale is None:
            x = F.conv2d(x * styles[:, :, None, None].to(dtype), weight.to(dtype), padding=self.kernel_size - 1)
            bias = self.bias
        else:
            convolve = FrozenScaledConv.apply if is_frozen(self, x) else scaled_conv
            x = convolve(x, styles, scale, self.bias, weight, self.kernel_size - 1)
        gain, slope = (1.0, 1.0) if self.is_torgb else (SQRT2, LRELU_SLOPE)
        filters = (self.up_filter, self.down_filter, self.up, self.down)
        return filtered_lrelu(x, bias, *filters, self.padding, gain, slope, self.conv_clamp)


class AliasFreeSynthesis(nn.Module):
    """ws [N, num_ws, w_dim] -> images [N, img_channels, R, R]."""

    def __init__(self, config: StyleGAN3Config) -> None:
        super().__init__()
        self.num_ws, self.w_dim, self.output_scale = config.num_ws, config.w_dim, config.output_scale
        self.half_dtype = torch.float16  # or bfloat16: the format of the num_fp16_res highest rates on a GPU
        plans = plan_layers(config)
        self.plans = plans
        self.input = SynthesisInput(plans[0], config.w_dim)
        self.layer_names = []
        for i, target in enumerate(plans):
            layer = AliasFreeLayer(i, plans[max(i - 1, 0)], target, config)
            self.layer_names.append(f"L{i}_{target.size}_{target.channels}")
            setattr(self, self.layer_names[-1], layer)

    def noise_layers(self) -> dict[str, nn.Module]:
        """Return the layers that take noise: none."""
        return {}

    def feature_layers(self) -> dict[str, FeatureLayer]:
        """Return the layers that take hooks: all but the image's."""
        margins = [(plan.size - plan.rate) / 2 for plan in self.plans]
        return {
            name: FeatureLayer(plan.channels, plan.size, i + 2, margin)
            for i, (name, plan, margin) in enumerate(zip(self.layer_names[:-1], self.plans, margins, strict=False))
        }

    def forward(
        self,
        ws: Tensor,
        noise_mode: str = "const",
        noise: Mapping[str, Tensor] | None = None,
        hooks: Mapping[str, Hook] | None = None,
        update_emas: bool = False,
    ) -> Tensor:
        """Render ws; there are no noise inputs, so every `noise_mode` gives the same image.

        `hooks` are functions by the name of a feature layer, which its output goes through."""
        check_ws(ws, self.num_ws, self.w_dim)
        if noise:
            raise LatentMismatchError(f"this generator has no noise inputs, but {len(noise)} came with the latent")
        hooks = hooks or {}
        check_hooks(hooks, self.layer_names[:-1])
        x = self.input(ws[:, 0])
        for i, name in enumerate(self.layer_names):
            layer: AliasFreeLayer = getattr(self, name)
            dtype = self.half_dtype if ws.is_cuda and layer.use_half else ws.dtype
            x = layer(x, ws[:, i + 1], dtype, update_emas)
            if hook := hooks.get(name):
                x = hook(x)
        return x.to(ws.dtype) * self.output_scale


class StyleGAN3Generator(StyleGenerator):
    """StyleGAN3: z -> ws -> image, satisfying `networks.protocol.Generator`."""

    def __init__(self, config: StyleGAN3Config) -> None:
        super().__init__(config, AliasFreeSynthesis(config))
