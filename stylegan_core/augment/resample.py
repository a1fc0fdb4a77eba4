"""Bilinear sampling that can be differentiated any number of times, which torch's own `grid_sample` can not."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import grid_sample


def _sample(images: Tensor, grid: Tensor) -> Tensor:
    return grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


class _Sample(torch.autograd.Function):
    """Sampling at a fixed grid is linear in the images, so its derivative is its adjoint, and that one's is itself."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, grid: Tensor) -> Tensor:
        ctx.save_for_backward(grid)
        ctx.size = images.shape[2:]
        return _sample(images, grid)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (grid,) = ctx.saved_tensors
        return _SampleAdjoint.apply(grad, grid, ctx.size), None


class _SampleAdjoint(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, grad: Tensor, grid: Tensor, size: torch.Size) -> Tensor:
        ctx.save_for_backward(grid)
        with torch.enable_grad():
            images = grad.new_zeros(*grad.shape[:2], *size).requires_grad_()
            sampled = _sample(images, grid)
        (adjoint,) = torch.autograd.grad(sampled, images, grad)
        return adjoint

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (grid,) = ctx.saved_tensors
        return _Sample.apply(grad, grid), None, None


def bilinear_sample(images: Tensor, grid: Tensor) -> Tensor:
    """Sample images [N, C, H, W] at grid [N, h, w, 2] (x, y in [-1, 1], zeros outside); give [N, C, h, w].

    Differentiable by the images as often as wanted, and not by the grid."""
    return _Sample.apply(images, grid)
