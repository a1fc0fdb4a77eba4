"""Guess starting codes from faces: the linear encoder that ships, or one trained for any generator."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn import functional as F

from stylegan_core.assets import asset_path
from stylegan_core.checkpoints.native import read_safetensors, write_safetensors
from stylegan_core.errors import CheckpointError, LatentMismatchError

FORMAT = "invertigo-encoder-1"
MAX_WIDTH = 256  # feature maps of the network
MAX_NUMBER = 1 << 16  # of any size in a file's header


@dataclass(frozen=True)
class EncoderShape:
    """What defines an encoder's architecture."""

    img_channels: int
    w_dim: int
    num_ws: int
    linear_side: int  # side in pixels of the linear part's input
    side: int  # of the network's input, a power of two; 4: there is no network
    width: int = 32  # feature maps of its first layer


class Encoder(nn.Module):
    """Images [N, C, R, R] in [-1, 1] -> ws [N, num_ws, w_dim]: a linear guess of w, and a network's correction.

    The network adds to w, and gives each layer an offset (e4e, Tov et al. 2021), both in units of `w_std`. It starts
    at zero, so an untrained encoder is the linear one."""

    def __init__(self, shape: EncoderShape) -> None:
        super().__init__()
        self.shape = shape
        values = shape.img_channels * shape.linear_side**2
        self.register_buffer("mean", torch.zeros(values))
        self.register_buffer("projection", torch.zeros(values, shape.w_dim))
        self.register_buffer("shift", torch.zeros(shape.w_dim))
        self.register_buffer("w_std", torch.ones(shape.w_dim))
        self.mean: Tensor
        self.projection: Tensor
        self.shift: Tensor
        self.w_std: Tensor
        num_layers, channels = int(math.log2(shape.side)) - 2, shape.img_channels
        self.convs = nn.ModuleList()
        for index in range(num_layers):
            out = min(shape.width << index, MAX_WIDTH)
            self.convs.append(nn.Conv2d(channels, out, 3, stride=2, padding=1))
            channels = out
        if num_layers:
            self.hidden = nn.Linear(channels * 16, MAX_WIDTH)
            self.to_w = nn.Linear(MAX_WIDTH, shape.w_dim)
            self.to_offsets = nn.Linear(MAX_WIDTH, shape.num_ws * shape.w_dim)
            for layer in (self.to_w, self.to_offsets):
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Return ws [N, num_ws, w_dim]."""
        return self.split(images)[0]

    def split(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return ws [N, num_ws, w_dim] and the offsets in them [N, num_ws, w_dim], in units of `w_std`."""
        shape = self.shape
        w = (resized(images, shape.linear_side).flatten(1) - self.mean) @ self.projection + self.shift
        offsets = w.new_zeros(len(w), shape.num_ws, shape.w_dim)
        if len(self.convs):
            x = resized(images, shape.side)
            for conv in self.convs:
                x = F.leaky_relu(conv(x), 0.2)
            x = F.leaky_relu(self.hidden(x.flatten(1)), 0.2)
            w = w + self.to_w(x) * self.w_std
            offsets = self.to_offsets(x).reshape(-1, shape.num_ws, shape.w_dim)
        return w[:, None] + offsets * self.w_std, offsets


def resized(images: Tensor, side: int) -> Tensor:
    """Return images [N, C, R, R] at `side` pixels, antialiased."""
    if images.shape[-1] == side:
        return images
    return F.interpolate(images, size=(side, side), mode="bilinear", antialias=True, align_corners=False)


@dataclass(frozen=True)
class LoadedEncoder:
    """An encoder, and the curvature of the loss around its guesses where the file has it."""

    network: Encoder
    curvature: dict[str, Tensor]  # `directions` [K, num_ws * w_dim] and `values` [K]; or empty
    report: dict[str, Any]


def guess_codes(generator: Any, targets: Tensor, encoder: str = "") -> Tensor | None:
    """Return starting codes [N, num_ws, w_dim] for targets [N, C, R, R] in [-1, 1].

    `encoder` names a file; without one it is the encoder shipped for this generator (by fingerprint), if any."""
    loaded = find_encoder(generator, encoder)
    if loaded is None:
        return None
    with torch.no_grad():
        ws: Tensor = loaded.network(targets)
    return ws


def find_encoder(generator: Any, encoder: str = "") -> LoadedEncoder | None:
    """Return the encoder in the file `encoder`, or the one shipped for this generator; None where there is none.

    Raises `LatentMismatchError` for one that was trained for another generator."""
    path = Path(encoder) if encoder else encoders().get(generator.meta.fingerprint)
    if path is None:
        return None
    stamp = path.stat().st_mtime_ns if path.is_file() else 0
    loaded, fingerprints = load_encoder(path, generator.w_avg.device, generator.num_ws, stamp)
    fingerprint = generator.meta.fingerprint
    if fingerprint not in fingerprints:
        raise LatentMismatchError(
            f"{path}: an encoder for another generator ({fingerprints[0][:12]}); {generator.meta.name} is "
            f"{fingerprint[:12]}: train one for it with `invertigo encoder train`"
        )
    if not encoder and not loaded.curvature:
        return replace(loaded, curvature=shipped_curvature(fingerprint, generator.w_avg.device))
    return loaded


@lru_cache(maxsize=2)
def shipped_curvature(fingerprint: str, device: torch.device) -> dict[str, Tensor]:
    """Return the curvature that ships for the generator with this fingerprint; empty where there is none."""
    for path in sorted(asset_path("").glob("*_curvature.safetensors")):
        with safe_open(str(path), framework="pt", device=str(device)) as file:
            if file.metadata()["generator"] == fingerprint:
                return {name: file.get_tensor(name).float() for name in ("directions", "values")}
    return {}


@lru_cache(maxsize=1)
def encoders() -> dict[str, Path]:
    """Return the shipped encoders by the fingerprint of their generator."""
    found: dict[str, Path] = {}
    for path in sorted(asset_path("").glob("*_encoder.safetensors")):
        with safe_open(str(path), framework="pt") as file:
            found |= dict.fromkeys(generators(file.metadata()), path)
    return found


def generators(header: Mapping[str, str]) -> list[str]:
    """Return the fingerprints of the generators an encoder is for: one, or several that share W (comma-separated)."""
    return header["generator"].split(",")


def save_encoder(path: str | Path, network: Encoder, generator: str, curvature: dict[str, Tensor], report: Any) -> None:
    """Write an encoder in 16 bit; `generator` is the fingerprint of its generator."""
    tensors = {name: tensor.half() for name, tensor in network.state_dict().items()}
    tensors |= {f"curvature.{name}": tensor.half() for name, tensor in curvature.items()}
    about = {"shape": asdict(network.shape), "report": report}
    write_safetensors(Path(path), tensors, {"format": FORMAT, "generator": generator, "about": json.dumps(about)})


@lru_cache(maxsize=2)
def load_encoder(path: Path, device: torch.device, num_ws: int, stamp: int) -> tuple[LoadedEncoder, list[str]]:
    """Load an encoder file and the fingerprints of its generators; raises `CheckpointError`.

    `stamp` is the file's time, so that a file written anew is read anew."""
    tensors, header = read_safetensors(path)
    try:
        if header.get("format") == FORMAT:
            about = json.loads(header["about"])
            if not all(isinstance(n, int) and 0 < n <= MAX_NUMBER for n in about["shape"].values()):
                raise ValueError("its sizes make no sense")
            shape, report = EncoderShape(**about["shape"]), about["report"]
        else:  # a linear encoder of three matrices
            values, w_dim = tensors["projection"].shape
            side = round((values / 3) ** 0.5)
            shape, report = EncoderShape(3, w_dim, num_ws, side, 4), {}
            tensors["w_std"] = torch.ones(w_dim)
        curvature = {n.removeprefix("curvature."): tensors.pop(n) for n in list(tensors) if n.startswith("curvature.")}
        with torch.device("meta"):
            network = Encoder(shape)
        weights = {name: tensor.float() for name, tensor in tensors.items()}
        network.load_state_dict(weights, assign=True)
        fingerprints = generators(header)
    except (KeyError, ValueError, TypeError, RuntimeError, AttributeError) as error:
        raise CheckpointError(f"{path}: not an encoder ({' '.join(str(error).split())[:160]})") from error
    network.eval().requires_grad_(False).to(device)
    return LoadedEncoder(network, {n: t.float().to(device) for n, t in curvature.items()}, report), fingerprints
