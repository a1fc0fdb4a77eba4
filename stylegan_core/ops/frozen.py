"""Whole StyleGAN layers as one differentiable step, for generators whose weights are frozen (inversion, editing).

Autograd would keep five tensors the size of a layer's output and make as many more on the way back, and on a CPU most
of the time of a large layer goes into touching new memory. These steps keep their input and their output, and compute
a strip of rows at a time, so that all that lies between stays in the cache. The values are those of `styled_layer`
and `mix_channels`, and so are the gradients; where they are to be differentiated again, they are theirs by
construction."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan_core.ops.activation import LRELU_SLOPE, activate_
from stylegan_core.ops.modulation import conv2d_up, mix_channels, up_padding
from stylegan_core.ops.resample import fast_layout, fir2d

PIECE = 1 << 21  # values of the output made at a time: 8 MiB in float32


def is_frozen(layer: Any, x: Tensor) -> bool:
    """Tell whether a layer's own `weight` and `bias` take no gradient, and x is what these steps are fast for."""
    learns = torch.is_grad_enabled() and (layer.weight.requires_grad or layer.bias.requires_grad)
    return not learns and x.is_cpu and x.dtype == layer.weight.dtype and not torch.is_autocast_enabled("cpu")


def styled_layer(
    x: Tensor,
    styles: Tensor,
    scale: Tensor,
    shift: Tensor,
    noise: Tensor | None,
    weight: Tensor,
    taps: Tensor,
    up: int,
    clamp: float | None,
) -> Tensor:
    """Return clamp(lrelu(conv(x * styles) * scale + shift + noise)), [N, out, H * up, W * up].

    x is [N, in, H, W], styles [N, in], scale [N, out], shift [out], noise [N or 1, 1, H * up, W * up], weight
    [out, in, k, k]. The gain of the activation belongs in scale, shift and noise (see `activate_`)."""
    y = conv2d_up(x * styles[:, :, None, None].to(x.dtype), weight, up, taps)
    y = torch.addcmul(shift.to(y.dtype)[:, None, None], y, scale[:, :, None, None].to(y.dtype))
    if noise is not None:
        y = y.add_(noise.to(y.dtype))
    return activate_(y, "lrelu", clamp)


class FrozenStyledLayer(torch.autograd.Function):
    """`styled_layer` without gradients for weight and shift."""

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Tensor:
        """Compute the layer, strip by strip."""
        x, styles, scale, shift, noise, weight, taps, up, clamp = args
        num, _, height, width = x.shape
        shape, layout = [num, weight.shape[0], height * up, width * up], fast_layout(x, resamples=up == 2)
        y = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=layout)
        clamped = False
        for strip in _strips(y, up, _reach(weight, taps, up)):
            part = conv2d_up(strip.around(x) * styles[strip.samples, :, None, None], weight, up, taps)
            out = strip.of(y, up)
            torch.addcmul(shift[:, None, None], strip.middle(part, up), scale[strip.samples, :, None, None], out=out)
            if noise is not None:
                out.add_(strip.of(noise, up))
            F.leaky_relu_(out, LRELU_SLOPE)
            if clamp is not None and _largest(out) > clamp:
                out.clamp_(-clamp, clamp)
                clamped = True
        ctx.save_for_backward(x, styles, scale, shift, noise, weight, taps, y)
        ctx.up, ctx.clamp = up, clamp if clamped else None
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        """Return the gradients of x, styles, scale and noise."""
        *saved, y = ctx.saved_tensors
        if torch.is_grad_enabled():
            return _differentiable_gradients(ctx, saved, grad)
        x, styles, scale, shift, noise, weight, taps = saved
        up, grad_x, grad_styles = ctx.up, torch.empty_like(x), torch.zeros_like(styles)
        total, weighted, noisy = (torch.zeros_like(scale) for _ in range(3))
        grad_noise = y.new_empty([len(y), 1, *y.shape[2:]]) if ctx.needs_input_grad[4] else None
        for strip in _strips(y, up, _reach(weight, taps, up)):
            n, out, upstream = strip.samples, strip.around(y, up), strip.around(grad, up)
            if ctx.clamp is not None:
                upstream = upstream.masked_fill(out.abs() >= ctx.clamp, 0)
            # Before the activation stood p = conv * scale + shift + noise, and lrelu'(p) p = lrelu(p).
            weighted[n] += _sum_pixels(strip.middle(upstream, up) * strip.of(y, up))
            inner = torch.ops.aten.leaky_relu_backward(upstream, out, LRELU_SLOPE, True)
            middle = strip.middle(inner, up)
            total[n] += _sum_pixels(middle)
            if noise is not None:
                noisy[n] += _sum_pixels(middle, strip.of(noise, up))
            if grad_noise is not None:
                strip.of(grad_noise, up).copy_(middle.sum(dim=1, keepdim=True))
            inner.mul_(scale[n, :, None, None])
            before_conv = strip.middle(_gradient_of_conv(inner, weight, taps, up))
            grad_styles[n] += _sum_pixels(before_conv * strip.of(x))
            torch.mul(before_conv, styles[n, :, None, None], out=strip.of(grad_x))
        if grad_noise is not None and len(noise) < len(y):
            grad_noise = grad_noise.sum(dim=0, keepdim=True)
        grad_scale = (weighted - shift * total - noisy) / scale
        return grad_x, grad_styles, grad_scale, None, grad_noise, None, None, None, None


class FrozenPointwise(torch.autograd.Function):
    """`mix_channels` without a gradient for the bias."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernels: Tensor, bias: Tensor) -> Tensor:
        """Mix the channels of x [N, in, H, W] by kernels [N, out, in]."""
        ctx.save_for_backward(x, kernels, bias)
        return mix_channels(x, kernels, bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        """Return the gradients of x and kernels."""
        x, kernels, bias = ctx.saved_tensors
        if torch.is_grad_enabled():
            with torch.enable_grad():
                y = mix_channels(x, kernels, bias)
                return *torch.autograd.grad(y, [x, kernels], grad, create_graph=True), None
        grad_x, grad_kernels = torch.empty_like(x), torch.zeros_like(kernels)
        for i in range(len(x)):
            for strip in _strips(x[i : i + 1], 1, 0):
                rows = strip.rows
                upstream = grad[i, :, rows].flatten(1)  # [out, pixels]
                grad_kernels[i] += upstream @ x[i, :, rows].flatten(1).T
                mixed = (upstream.T @ kernels[i]).unflatten(0, (-1, x.shape[3]))  # [rows, W, in]
                grad_x[i, :, rows] = mixed.permute(2, 0, 1)
        return grad_x, grad_kernels, None


def scaled_conv(x: Tensor, styles: Tensor, scale: Tensor, shift: Tensor, weight: Tensor, padding: int) -> Tensor:
    """Return conv(x * styles) * scale + shift, for x [N, in, H, W], styles [N, in], scale [N, out], shift [out]."""
    y = F.conv2d(x * styles[:, :, None, None].to(x.dtype), weight.to(x.dtype), padding=padding)
    return torch.addcmul(shift.to(x.dtype)[:, None, None], y, scale[:, :, None, None].to(x.dtype))


class FrozenScaledConv(torch.autograd.Function):
    """`scaled_conv` without gradients for weight and shift."""

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Tensor:
        """Compute the convolution; keep its input and its output."""
        x, styles, scale, shift, weight, padding = args
        y = F.conv2d(
            x.contiguous(memory_format=torch.channels_last) * styles[:, :, None, None], weight, padding=padding
        )
        torch.addcmul(shift[:, None, None], y, scale[:, :, None, None], out=y)
        ctx.save_for_backward(x, styles, scale, shift, weight, y)
        ctx.padding = padding
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        """Return the gradients of x, styles and scale."""
        x, styles, scale, shift, weight, y = ctx.saved_tensors
        if torch.is_grad_enabled():
            with torch.enable_grad():
                again = scaled_conv(x, styles, scale, shift, weight, ctx.padding)
                found = torch.autograd.grad(again, [x, styles, scale], grad, create_graph=True)
            return *found, None, None, None
        weighted = torch.zeros_like(scale)
        for strip in _strips(y, 1, 0):
            weighted[strip.samples] += _sum_pixels(strip.of(grad) * strip.of(y))
        grad_scale = (weighted - shift * _sum_pixels(grad)) / scale
        inner = grad.contiguous(memory_format=torch.channels_last) * scale[:, :, None, None]
        grad_x = F.conv_transpose2d(inner, weight, padding=ctx.padding)  # as for `FrozenStyledLayer`
        del inner
        grad_styles = torch.zeros_like(styles)
        for strip in _strips(x, 1, 0):
            part = strip.of(grad_x)
            grad_styles[strip.samples] += _sum_pixels(part * strip.of(x))
            part.mul_(styles[strip.samples, :, None, None])
        return grad_x, grad_styles, grad_scale, None, None, None


@dataclass(frozen=True)
class _Strip:
    """Rows of some samples, and the wider strip that a convolution needs around them; both before upsampling."""

    samples: slice
    rows: slice
    wide: slice

    def of(self, x: Tensor, up: int = 1) -> Tensor:
        """Return the strip of x [N or 1, C, H * up, W * up]."""
        return self._samples_of(x)[:, :, self.rows.start * up : self.rows.stop * up]

    def around(self, x: Tensor, up: int = 1) -> Tensor:
        """Return the wider strip of x [N or 1, C, H * up, W * up]."""
        return self._samples_of(x)[:, :, self.wide.start * up : self.wide.stop * up]

    def middle(self, part: Tensor, up: int = 1) -> Tensor:
        """Return the strip out of what was computed of the wider one."""
        first = (self.rows.start - self.wide.start) * up
        return part[:, :, first : first + (self.rows.stop - self.rows.start) * up]

    def _samples_of(self, x: Tensor) -> Tensor:
        return x if len(x) == 1 else x[self.samples]


def _strips(y: Tensor, up: int, reach: int) -> Iterator[_Strip]:
    """Divide an output [N, C, H * up, W * up] into strips of about PIECE values; small ones hold several samples."""
    num, channels, height, width = y.shape
    height //= up
    row = channels * width * up
    num_rows = min(max(1, PIECE // row), height)
    num_samples = max(1, PIECE // (row * height))
    for n in range(0, num, num_samples):
        for first in range(0, height, num_rows):
            last = min(first + num_rows, height)
            wide = slice(max(first - reach, 0), min(last + reach, height))
            yield _Strip(slice(n, n + num_samples), slice(first, last), wide)


def _reach(weight: Tensor, taps: Tensor, up: int) -> int:
    """Return how many rows before upsampling lie between an output and the farthest input that it sees."""
    size, num_taps = weight.shape[-1], taps.shape[0]
    if up == 1:
        return size // 2
    before, _ = up_padding(size, num_taps)
    # Output o sees inputs i with o = 2 i + k - j + before, for k < size and j < num_taps.
    return max((size - 1 + before) // 2, (num_taps - before) // 2)


def _gradient_of_conv(grad: Tensor, weight: Tensor, taps: Tensor, up: int) -> Tensor:
    """Return the gradient of the input of `conv2d_up` from that of its output."""
    if up == 1:
        # Channels-last, oneDNN's transposed convolution is up to 2.7 times as fast as its backward pass.
        return F.conv_transpose2d(grad, weight, padding=weight.shape[-1] // 2)
    before, after = up_padding(weight.shape[-1], taps.shape[0])
    last = taps.shape[0] - 1
    grad = fir2d(grad, taps.flip(0), (last - before, last - after), gain=4)
    return F.conv2d(grad, weight.transpose(0, 1), stride=2)


def _differentiable_gradients(ctx: Any, saved: list[Tensor], grad: Tensor) -> tuple[Any, ...]:
    """Return gradients that can be differentiated again, through `styled_layer` itself."""
    wanted = [i for i in (0, 1, 2, 4) if ctx.needs_input_grad[i]]
    with torch.enable_grad():
        x, styles, scale, shift, noise, weight, taps = saved
        y = styled_layer(x, styles, scale, shift, noise, weight, taps, ctx.up, ctx.clamp)
        found = torch.autograd.grad(y, [saved[i] for i in wanted], grad, create_graph=True)
    gradients: list[Tensor | None] = [None] * 9
    for i, gradient in zip(wanted, found, strict=True):
        gradients[i] = gradient
    return tuple(gradients)


def _sum_pixels(x: Tensor, weights: Tensor | None = None) -> Tensor:
    """Sum x [N, C, H, W] over its pixels, times `weights` [N or 1, 1, H, W] where given, to [N, C].

    A matrix product is several times faster than a reduction here."""
    pixels = x.permute(0, 2, 3, 1).flatten(1, 2)  # [N, H W, C]
    row = pixels.new_ones([1, 1, pixels.shape[1]]) if weights is None else weights.flatten(2)
    return (row @ pixels)[:, 0]


def _largest(x: Tensor) -> float:
    """Return the largest magnitude in x [N, C, H, W]."""
    dense = x.permute(0, 2, 3, 1)  # aminmax is ten times slower on strided channels
    low, high = (dense if dense.is_contiguous() else x).aminmax()
    return float(torch.maximum(-low, high))
