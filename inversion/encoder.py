"""Guess a starting code from a face: the encoders that ship for the embedded generators."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor
from torch.nn import functional as F

from stylegan_core.assets import asset_path


def guess_codes(generator: Any, targets: Tensor, encoder: str = "") -> Tensor | None:
    """Return starting codes [N, num_ws, w_dim] for targets [N, 3, R, R] in [-1, 1].

    None where no encoder for this generator (by fingerprint) is shipped."""
    path = encoders().get(generator.meta.fingerprint)
    if path is None:
        return None
    matrices = _load_linear(path, targets.device)
    side = round((matrices["mean"].numel() / 3) ** 0.5)
    if targets.shape[-1] != side:
        targets = F.interpolate(targets, size=(side, side), mode="bilinear", antialias=True, align_corners=False)
    w = (targets.flatten(1) - matrices["mean"]) @ matrices["projection"] + matrices["shift"]
    return w[:, None].repeat(1, generator.num_ws, 1)


@lru_cache(maxsize=1)
def encoders() -> dict[str, Path]:
    """Return the shipped encoders by the fingerprint of their generator."""
    found = {}
    for path in sorted(asset_path("").glob("*_encoder.safetensors")):
        with safe_open(str(path), framework="pt") as file:
            found[file.metadata()["generator"]] = path
    return found


@lru_cache(maxsize=2)
def _load_linear(path: Path, device: torch.device) -> dict[str, Tensor]:
    with safe_open(str(path), framework="pt", device=str(device)) as file:
        return {name: file.get_tensor(name).float() for name in ("mean", "projection", "shift")}
