"""Paths between codes: straight lines in W, great circles in Z, through keyframes, there and back."""

from collections.abc import Callable

import torch
from torch import Tensor

from stylegan_core.errors import ConfigError

Blend = Callable[[Tensor, Tensor, float], Tensor]


def lerp(a: Tensor, b: Tensor, t: float) -> Tensor:
    """Return a at t=0, b at t=1 (both bit for bit) and the straight line between."""
    return a.clone() if t == 0 else b.clone() if t == 1 else a + t * (b - a)


def slerp(a: Tensor, b: Tensor, t: float) -> Tensor:
    """Return the point at `t` of the great circle between the directions of a and b [..., z_dim] (White 2016).

    Lengths are interpolated on a straight line; where a and b point the same or opposite ways, so is the point."""
    if t in (0, 1):
        return lerp(a, b, t)
    lengths = a.norm(dim=-1, keepdim=True), b.norm(dim=-1, keepdim=True)
    one, other = a / lengths[0].clamp_min(1e-12), b / lengths[1].clamp_min(1e-12)
    angle = (one * other).sum(dim=-1, keepdim=True).clamp(-1, 1).acos()
    sine = angle.sin()
    around = (((1 - t) * angle).sin() * one + (t * angle).sin() * other) / sine.clamp_min(1e-12)
    return torch.where(sine < 1e-4, lerp(a, b, t), around * lerp(*lengths, t))


BLENDS: dict[str, Blend] = {"w": lerp, "z": slerp}


def path_through(keyframes: Tensor, num_frames: int, loop: bool = False, blend: Blend = lerp) -> Tensor:
    """Return `num_frames` codes [F, ...] along keyframes [K, ...], evenly in time, each keyframe hit exactly.

    Without `loop` the path ends at the last keyframe; with it, it goes on towards the first and stops one frame
    short of it, so that the film can be repeated. Keyframes fall on the nearest frames."""
    num_keys = len(keyframes)
    if num_keys < 2:
        raise ConfigError(f"{num_keys} code to interpolate; give two or more")
    segments = num_keys if loop else num_keys - 1
    steps = num_frames if loop else num_frames - 1
    if steps < segments:
        raise ConfigError(
            f"{num_frames} frames are too few for {num_keys} keyframes; give {segments + (not loop)} or more"
        )
    starts = [round(steps * index / segments) for index in range(segments + 1)]
    frames = []
    for index in range(segments):
        a, b = keyframes[index], keyframes[(index + 1) % num_keys]
        length = starts[index + 1] - starts[index]
        frames += [blend(a, b, step / length) for step in range(length)]
    if not loop:
        frames.append(keyframes[-1].clone())
    return torch.stack(frames)
