"""A whole StyleGAN2 layer as one differentiable step, for generators whose weights are frozen (inversion, editing).

Autograd would keep five tensors the size of the layer's output and make as many more on the way back; most of the time
of a large layer on a CPU is spent touching that memory for the first time. This step keeps its input and its output,
and works in place and in pieces that stay in the cache. The values are those of `styled_layer`, and so are the
gradients; where they are to be differentiated again, they are those of `styled_layer` by construction."""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan_core.ops.activation import LRELU_SLOPE, activate_
from stylegan_core.ops.modulation import conv2d_up, up_padding
from stylegan_core.ops.resample import fir2d

PIECE = 1 << 16  # values handled at a time: 256 KiB in float32


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
        """Compute the layer, its elementwise part in place."""
        x, styles, scale, shift, noise, weight, taps, up, clamp = args
        y = conv2d_up(x * styles[:, :, None, None], weight, up, taps)
        for rows in _pieces(y):
            part = y[:, :, rows]
            torch.addcmul(shift[:, None, None], part, scale[:, :, None, None], out=part)
            if noise is not None:
                part.add_(noise[:, :, rows])
            F.leaky_relu_(part, LRELU_SLOPE)
            if clamp is not None:
                part.clamp_(-clamp, clamp)
        ctx.save_for_backward(x, styles, scale, shift, noise, weight, taps, y)
        ctx.up, ctx.clamp = up, clamp
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        """Return the gradients of x, styles, scale and noise."""
        *saved, y = ctx.saved_tensors
        if torch.is_grad_enabled():
            return _differentiable_gradients(ctx, saved, grad)
        x, styles, scale, shift, noise, weight, taps = saved
        inner, grad_scale, grad_noise = _activation_gradients(grad, y, scale, shift, noise, ctx.clamp)
        if ctx.up == 2:
            before, after = up_padding(weight.shape[-1], taps.shape[0])
            last = taps.shape[0] - 1
            inner = fir2d(inner, taps.flip(0), (last - before, last - after), gain=4)
            grad_x = F.conv2d(inner, weight.transpose(0, 1), stride=2)
        else:
            # Channels-last, oneDNN's transposed convolution is up to 2.7 times as fast as its backward pass.
            grad_x = F.conv_transpose2d(inner, weight, padding=weight.shape[-1] // 2)
        grad_styles = torch.zeros_like(styles)
        for rows in _pieces(grad_x):
            grad_styles += _sum_pixels(grad_x[:, :, rows] * x[:, :, rows])
            grad_x[:, :, rows].mul_(styles[:, :, None, None])
        return grad_x, grad_styles, grad_scale, None, grad_noise, None, None, None, None


def _activation_gradients(
    grad: Tensor, y: Tensor, scale: Tensor, shift: Tensor, noise: Tensor | None, clamp: float | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return the gradients of the convolution's output, of scale and of noise, from the layer's output y alone."""
    inner = torch.empty_like(y)
    total, weighted, noisy = (torch.zeros_like(scale) for _ in range(3))
    grad_noise = None if noise is None else torch.empty_like(y[:, :1])
    for rows in _pieces(y):
        out, part = y[:, :, rows], inner[:, :, rows]
        torch.ops.aten.leaky_relu_backward.grad_input(grad[:, :, rows], out, LRELU_SLOPE, True, grad_input=part)
        if clamp is not None:
            part.masked_fill_(out.abs() >= clamp, 0)
        total += _sum_pixels(part)
        # Undo the activation: before it stood conv * scale + shift + noise.
        weighted += _sum_pixels(part * F.leaky_relu(out, 1 / LRELU_SLOPE))
        if noise is not None and grad_noise is not None:
            noisy += _sum_pixels(part * noise[:, :, rows])
            grad_noise[:, :, rows] = part.sum(dim=1, keepdim=True)
        part.mul_(scale[:, :, None, None])
    if noise is not None and grad_noise is not None and len(noise) < len(y):
        grad_noise = grad_noise.sum(dim=0, keepdim=True)
    return inner, (weighted - shift * total - noisy) / scale, grad_noise


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


def _sum_pixels(x: Tensor) -> Tensor:
    """Sum x [N, C, H, W] over its pixels to [N, C]: a matrix product, several times faster than a reduction here."""
    pixels = x.permute(0, 2, 3, 1).flatten(1, 2)  # [N, H W, C]
    return (pixels.new_ones([1, 1, pixels.shape[1]]) @ pixels)[:, 0]


def _pieces(x: Tensor) -> Iterator[slice]:
    """Divide the rows of x [N, C, H, W] so that each piece has about PIECE values."""
    step = max(1, PIECE // max(1, x.shape[0] * x.shape[1] * x.shape[3]))
    return (slice(start, start + step) for start in range(0, x.shape[2], step))
