"""StyleGAN3's nonlinearity on a CPU, a strip of rows at a time: upsample, leaky ReLU, clamp, downsample.

Resampling along one axis is a depthwise convolution with a kernel of one column or row (upsampling a transposed one),
channels last, where oneDNN is several times faster than with contiguous channels or with the outer product of the
taps. What is made at the higher rate stays in the cache; for the gradient it is made again, strip by strip."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

PIECE = 1 << 23  # values at the higher rate that are made at a time: 32 MiB in float32


@dataclass(frozen=True)
class Resampling:
    """What is done to one axis on the way up, and to both on the way down."""

    up_taps: Tensor  # [K]
    down_filter: Tensor  # [L], or [L, L] where it does not separate
    up: int
    down: int
    first: int  # sample of the transposed convolution that the result at the higher rate begins with
    height: int  # rows at the higher rate
    width: int
    slope: float
    clamp: float | None

    @property
    def reach(self) -> int:
        """Rows at the higher rate that an output sees."""
        return self.down_filter.shape[0]


def plan_resampling(
    x: Tensor, up_taps: Tensor, down_filter: Tensor, up: int, down: int, padding: tuple[int, int], slope: float,
    clamp: float | None,
) -> Resampling | None:  # fmt: skip
    """Return how x [N, C, H, W] is resampled here, or None where the padding reaches farther than the filter does."""
    num_taps = up_taps.shape[0]
    if padding[0] >= num_taps or padding[1] > num_taps - up:
        return None
    height, width = (side * up + sum(padding) - num_taps + 1 for side in x.shape[2:])
    return Resampling(up_taps, down_filter, up, down, num_taps - 1 - padding[0], height, width, slope, clamp)


class FilteredStrips(torch.autograd.Function):
    """x [N, C, H, W] -> the filtered nonlinearity of it, [N, C, H', W'] channels last."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, plan: Resampling) -> Tensor:
        """Compute the output, strip by strip."""
        ctx.save_for_backward(x)
        ctx.plan = plan
        x = x.contiguous(memory_format=torch.channels_last)
        height, width = ((side - plan.reach) // plan.down + 1 for side in (plan.height, plan.width))
        y = torch.empty([*x.shape[:2], height, width], dtype=x.dtype, memory_format=torch.channels_last)
        for sample, rows, source, skip in _strips(x, plan, height):
            bent = _upsampled_and_bent(x[sample, :, source], plan, skip, rows.stop - rows.start)
            y[sample, :, rows] = _downsampled(bent, plan)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        """Return the gradient of x."""
        (x,), plan = ctx.saved_tensors, ctx.plan
        if torch.is_grad_enabled():  # the gradient is differentiated itself
            y = _downsampled(_upsampled_and_bent(x, plan, plan.first, grad.shape[2]), plan)
            return torch.autograd.grad(y, x, grad, create_graph=True)[0], None
        x = x.contiguous(memory_format=torch.channels_last)
        gradient = torch.zeros_like(x)
        for sample, rows, source, skip in _strips(x, plan, grad.shape[2]):
            part = x[sample, :, source].detach().requires_grad_()
            with torch.enable_grad():
                bent = _upsampled_and_bent(part, plan, skip, rows.stop - rows.start)
            upstream = _downsampled(grad[sample, :, rows], plan, transposed=True)
            if upstream.shape[3] < plan.width:
                upstream = F.pad(upstream, [0, plan.width - upstream.shape[3]])
            gradient[sample, :, source] += torch.autograd.grad(bent, part, upstream)[0]
        return gradient, None


def _strips(x: Tensor, plan: Resampling, height: int) -> Iterator[tuple[slice, slice, slice, int]]:
    """Give (samples, output rows, the rows of x that they see, rows of their transposed convolution to skip)."""
    row = x.shape[1] * plan.width
    num_rows = max((PIECE // row - plan.reach) // plan.down + 1, 8)
    num_samples = max(1, PIECE // (row * plan.height))  # of small maps several go together
    num_taps = plan.up_taps.shape[0]
    for n in range(0, len(x), num_samples):
        for start in range(0, height, num_rows):
            stop = min(start + num_rows, height)
            low = plan.first + start * plan.down  # rows of the transposed convolution, first and last
            high = plan.first + (stop - 1) * plan.down + plan.reach - 1
            first = max(-((num_taps - 1 - low) // plan.up), 0)
            last = min(high // plan.up + 1, x.shape[2])
            yield slice(n, n + num_samples), slice(start, stop), slice(first, last), low - first * plan.up


def _upsampled_and_bent(x: Tensor, plan: Resampling, skip: int, height: int) -> Tensor:
    """Return, at the higher rate, what `height` output rows see of rows x [N, C, h, W], whose transposed convolution
    has `skip` rows before it."""
    up = plan.up_taps.to(x.dtype) * plan.up
    x = _Filter.apply(x, up[:, None], (plan.up, 1), 0, True)
    x = x[:, :, skip : skip + (height - 1) * plan.down + plan.reach]
    # Columns are left out by padding, not by a slice, which would be copied. It takes as many on both sides.
    left, right = plan.first, (x.shape[3] - 1) * plan.up + len(up) - plan.first - plan.width
    up = F.pad(up, [max(right - left, 0), max(left - right, 0)])
    x = _Filter.apply(x, up[None], (1, plan.up), max(left, right), True)
    bent: Tensor = ClampedLeakyReLU.apply(x, plan.slope, plan.clamp)
    return bent


def _downsampled(x: Tensor, plan: Resampling, transposed: bool = False) -> Tensor:
    """Filter and decimate both axes; `transposed` is the gradient of that."""
    down = plan.down_filter.to(x.dtype)
    if down.ndim == 2:
        y: Tensor = _Filter.apply(x, down.flip(0, 1), (plan.down, plan.down), 0, transposed)
        return y
    x = _Filter.apply(x, down.flip(0)[None], (1, plan.down), 0, transposed)
    y = _Filter.apply(x, down.flip(0)[:, None], (plan.down, 1), 0, transposed)
    return y


class _Filter(torch.autograd.Function):
    """A strided depthwise convolution of x [N, C, H, W] by a kernel [k, l], or the transposed one, with so many columns
    of padding; each is the other's gradient, and faster than what autograd has for it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, stride: tuple[int, int], columns: int, transposed: bool) -> Tensor:
        ctx.save_for_backward(kernel)
        ctx.stride, ctx.columns, ctx.transposed, ctx.size = stride, columns, transposed, x.shape[2:]
        weight = kernel.expand(x.shape[1], 1, -1, -1)
        convolve = F.conv_transpose2d if transposed else F.conv2d
        return convolve(x, weight, stride=stride, padding=(0, columns), groups=x.shape[1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        (kernel,) = ctx.saved_tensors
        found = _Filter.apply(grad, kernel, ctx.stride, ctx.columns, not ctx.transposed)
        height, width = ctx.size  # a strided convolution may leave rows and columns at the end unseen
        if found.shape[2:] != ctx.size:
            found = F.pad(found, [0, width - found.shape[3], 0, height - found.shape[2]])
        return found, None, None, None, None


class ClampedLeakyReLU(torch.autograd.Function):
    """Leaky ReLU, limited to [-clamp, clamp]: one pass over memory and a look at the extremes, in both directions."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: float, clamp: float | None) -> Tensor:
        y = F.leaky_relu(x, slope) if slope != 1 else x.clone()
        dense = y.permute(0, 2, 3, 1) if y.ndim == 4 else y  # aminmax is ten times slower on strided channels
        low, high = (dense if dense.is_contiguous() else y).aminmax()
        ctx.clamp = clamp if clamp is not None and float(torch.maximum(-low, high)) > clamp else None
        if ctx.clamp is not None:
            y = y.clamp_(-ctx.clamp, ctx.clamp)
        ctx.save_for_backward(y)
        ctx.slope = slope
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        y = ctx.saved_tensors[0].detach()
        if ctx.slope != 1:
            grad = torch.ops.aten.leaky_relu_backward(grad, y, ctx.slope, True)
        if ctx.clamp is not None:
            grad = grad * (y.abs() < ctx.clamp)
        return grad, None, None
