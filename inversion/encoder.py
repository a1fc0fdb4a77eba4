"""Guess starting codes from faces: the linear encoder that ships, or one trained for any generator."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn import functional as F

from inversion.encoders.guess import FieldGuess
from inversion.methods import METHOD_NAMES, METHODS
from inversion.task import Task
from stylegan_core.assets import asset_path
from stylegan_core.checkpoints.load import sniff
from stylegan_core.checkpoints.native import read_safetensors, write_safetensors
from stylegan_core.errors import CheckpointError, ConfigError, LatentMismatchError
from stylegan_core.features.perceptual import UNCALIBRATED, PerceptualDistance, load_perceptual
from stylegan_core.models import local_file
from stylegan_core.networks.protocol import Generator
from stylegan_core.ops.resample import resized

FORMAT = "invertigo-encoder-2"  # 1 had another network
MAX_NUMBER = 1 << 16  # of any size in a file's header
FEATURE_SIDE = 128  # pixels of the network's input, whatever the generator's resolution
FINE, MIDDLE, DEEP = 128, 256, 384 + 384 + 512 + 512  # channels of SqueezeNet's maps at 31, 15 and 7 px
COLOURS = 15  # side in pixels of the colours that join the maps, which do not know how bright a place is
WIDTHS = (64, 96, 96, 128, 48)  # feature maps of the network's convolutions


@dataclass(frozen=True)
class EncoderShape:
    """What defines an encoder's architecture."""

    img_channels: int
    w_dim: int
    num_ws: int
    linear_side: int  # side in pixels of the linear part's input
    hidden: int = 0  # values of the network's last layer but one; 0: there is no network
    mean_w: int = 0  # 1: its guess of w is the mean over layers of its guess of ws; 0: the linear one


class Encoder(nn.Module):
    """Images [N, C, R, R] in [-1, 1] -> ws [N, num_ws, w_dim]: a linear guess of w, and a network's offsets.

    The network gives each layer an offset from the guess (e4e, Tov et al. 2021) in units of `w_std`, from the embedded
    SqueezeNet's features. It starts at zero, so an untrained encoder is the linear one."""

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
        if shape.hidden:
            fine, middle, deep, both, last = WIDTHS
            self.fine = nn.Conv2d(FINE, fine, 3, stride=2)
            self.middle = nn.Conv2d(MIDDLE + fine + 3, middle, 3, stride=2)
            self.deep = nn.Conv2d(DEEP, deep, 1)
            self.both = nn.Conv2d(middle + deep, both, 3, padding=1)
            self.last = nn.Conv2d(both, last, 1)
            self.hidden = nn.Linear(last * 7 * 7, shape.hidden)
            self.offsets = nn.Linear(shape.hidden, shape.num_ws * shape.w_dim)
            nn.init.zeros_(self.offsets.weight)
            nn.init.zeros_(self.offsets.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Return ws [N, num_ws, w_dim]."""
        return self.placed(images, self.raw_offsets(images))

    def placed(self, images: Tensor, offsets: Tensor) -> Tensor:
        """Return the linear guesses with `offsets` [N, num_ws * w_dim] added."""
        return self.linear(images)[:, None] + offsets.unflatten(1, (self.shape.num_ws, -1)) * self.w_std

    def guess_w(self, images: Tensor) -> Tensor:
        """Return the guess of codes that stay in W, w [N, w_dim]."""
        return self(images).mean(dim=1) if self.shape.mean_w else self.linear(images)

    def linear(self, images: Tensor) -> Tensor:
        """Return the linear guess of w [N, w_dim]."""
        return (resized(images, self.shape.linear_side).flatten(1) - self.mean) @ self.projection + self.shift

    def raw_offsets(self, images: Tensor) -> Tensor:
        """Return the network's last layer [N, num_ws * w_dim]: offsets in units of `w_std`, once it is trained."""
        if not self.shape.hidden:
            return images.new_zeros(len(images), self.shape.num_ws * self.shape.w_dim)
        colours = resized(images, FEATURE_SIDE).expand(-1, 3, -1, -1)
        with torch.no_grad():
            _, fine, middle, *deep = _backbone(images.device).features(colours)
        x = torch.cat([middle, F.leaky_relu(self.fine(fine), 0.2), resized(colours, COLOURS)], dim=1)
        x = F.leaky_relu(self.middle(x), 0.2)
        x = torch.cat([x, F.leaky_relu(self.deep(torch.cat(deep, dim=1)), 0.2)], dim=1)
        x = F.leaky_relu(self.last(F.leaky_relu(self.both(x), 0.2)), 0.2)
        return self.offsets(F.leaky_relu(self.hidden(x.flatten(1)), 0.2))


@lru_cache(maxsize=1)
def _backbone(device: torch.device) -> PerceptualDistance:
    return load_perceptual(UNCALIBRATED, device)


def choose_method(name: str, generator: Generator, encoder: str = "") -> str:
    """Return the name of the method that `name` stands for, `auto` being `hybrid` where an encoder is known.

    Without an encoder both `auto` and `guess` are `project`.

    Raises `ConfigError` for an unknown name, and for a method that needs an encoder where there is none."""
    if name == "auto":
        return "hybrid" if find_encoder(generator, encoder) else "project"
    if name == "guess" and find_encoder(generator, encoder) is None:
        return "project"
    if name not in METHODS:
        raise ConfigError(f"--method '{name}' is unknown; expected one of {', '.join(METHOD_NAMES)}")
    if METHODS[name].needs_encoder:
        need_encoder(generator, encoder)
    return name


def need_encoder(generator: Generator, encoder: str = "") -> None:
    """Raise `ConfigError` where there is no encoder for a generator."""
    if find_encoder(generator, encoder) is None:
        raise ConfigError(
            f"no encoder for {generator.meta.name} is shipped; train one with `invertigo encoder train` and "
            "name it with --encoder, or use --method project"
        )


@dataclass(frozen=True)
class LoadedEncoder:
    """An encoder, and the curvature of the loss around its guesses where the file has it."""

    network: Encoder | None  # None where it is one of the field's
    curvature: dict[str, Tensor]  # `directions` [K, num_ws * w_dim] and `values` [K]; or empty
    report: dict[str, Any]
    guess_ws: Callable[[Tensor], Tensor]  # targets [N, C, R, R] in [-1, 1] -> [N, num_ws, w_dim]
    guess_w: Callable[[Tensor], Tensor]  # -> [N, w_dim]


def guess_codes(generator: Generator, targets: Tensor, encoder: str = "") -> Tensor | None:
    """Return starting codes [N, num_ws, w_dim] for targets [N, C, R, R] in [-1, 1].

    `encoder` names a file; without one it is the encoder that came with this generator, if any."""
    loaded = find_encoder(generator, encoder)
    if loaded is None:
        return None
    with torch.no_grad():
        return loaded.guess_ws(targets)


def with_encoder(task: Task, encoder: str = "") -> Task:
    """Return a task that starts from the encoder's guess and knows its curvature, where there is an encoder."""
    loaded = find_encoder(task.generator, encoder)
    start = guess_codes(task.generator, task.targets, encoder)
    return replace(task, start=start, curvature=loaded.curvature if loaded else None)


def guess_w(generator: Generator, targets: Tensor) -> Tensor:
    """Return codes w [N, w_dim], which stay in W, for targets [N, C, R, R] in [-1, 1].

    They are the shipped linear encoder's, or the mean over layers of one of the field that came with the generator.
    Raises `LatentMismatchError` where none ships for this generator."""
    loaded = find_encoder(generator)
    if loaded is None:
        raise LatentMismatchError(f"no encoder ships for {generator.meta.name}; train one: `invertigo encoder train`")
    with torch.no_grad():
        return loaded.guess_w(targets)


def near_code(generator: Generator, target: Tensor, encoder: str = "") -> Tensor | None:
    """Return the encoder's codes in W [N, num_ws, w_dim] for faces [N, C, R, R]; None where there is no encoder.

    Edits mean most there: what a search adds to fit the photo lies where directions were not fitted."""
    loaded = find_encoder(generator, encoder)
    if loaded is None:
        return None
    with torch.no_grad():
        return loaded.guess_w(target)[:, None].repeat(1, generator.num_ws, 1).cpu()


def find_encoder(generator: Generator, encoder: str = "") -> LoadedEncoder | None:
    """Return the encoder in the file `encoder`, or the one that came with this generator; None where there is none.

    Those are ours by the generator's fingerprint, and pSp's, e4e's or ReStyle's in the generator's own file. Raises
    `LatentMismatchError` for one that was trained for another generator."""
    fingerprint = generator.meta.fingerprint
    file = local_file(encoder or generator.meta.encoder)
    if file.is_file() and sniff(file) != "safetensors":
        return field_encoder(generator, file)
    paths = (file,) if encoder else shipped_encoders().get(fingerprint, ())
    if not paths:
        return None
    stamp = max(path.stat().st_mtime_ns if path.is_file() else 0 for path in paths)
    loaded, fingerprints = load_encoder(paths, generator.w_avg.device, generator.num_ws, stamp)
    if fingerprint not in fingerprints:
        raise LatentMismatchError(
            f"{paths[0]}: an encoder for another generator ({fingerprints[0][:12]}); {generator.meta.name} is "
            f"{fingerprint[:12]}: train one for it with `invertigo encoder train`"
        )
    return loaded


@lru_cache(maxsize=1)
def shipped_encoders() -> dict[str, tuple[Path, ...]]:
    """Return the files of the shipped encoders by the fingerprint of their generator.

    An encoder may be in parts: generators that share W share the linear one."""
    found: dict[str, tuple[Path, ...]] = {}
    for path in sorted(asset_path("").glob("*_encoder.safetensors")):
        with safe_open(str(path), framework="pt") as file:
            for fingerprint in generators(file.metadata()):
                found[fingerprint] = (*found.get(fingerprint, ()), path)
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
def load_encoder(
    paths: tuple[Path, ...], device: torch.device, num_ws: int, stamp: int
) -> tuple[LoadedEncoder, list[str]]:
    """Load an encoder from its file or files, and the fingerprints of its generators; raises `CheckpointError`.

    `stamp` is the newest file's time, so that a file written anew is read anew."""
    tensors: dict[str, Tensor] = {}
    header: dict[str, str] = {}
    for path in paths:
        part, facts = read_safetensors(path)
        tensors, header = tensors | part, header | facts
    try:
        if "about" in header:
            about = json.loads(header["about"])
            if not all(isinstance(n, int) and 0 <= n <= MAX_NUMBER for n in about["shape"].values()):
                raise ValueError("its sizes make no sense")
            shape, report = EncoderShape(**about["shape"]), about["report"]
        else:  # a linear encoder of three matrices
            values, w_dim = tensors["projection"].shape
            shape, report = EncoderShape(3, w_dim, num_ws, round((values / 3) ** 0.5)), {}
            tensors["w_std"] = torch.ones(w_dim)
        curvature = {n.removeprefix("curvature."): tensors.pop(n) for n in list(tensors) if n.startswith("curvature.")}
        with torch.device("meta"):
            network = Encoder(shape)
        weights = {name: tensor.float() for name, tensor in tensors.items()}
        network.load_state_dict(weights, assign=True)
        fingerprints = generators(header)
    except (KeyError, ValueError, TypeError, RuntimeError, AttributeError) as error:
        raise CheckpointError(f"{paths[0]}: not an encoder ({' '.join(str(error).split())[:160]})") from error
    network.eval().requires_grad_(False).to(device)
    curvature = {name: tensor.float().to(device) for name, tensor in curvature.items()}
    return LoadedEncoder(network, curvature, report, network, network.guess_w), fingerprints


def field_encoder(generator: Generator, path: Path) -> LoadedEncoder:
    """Return the encoder of a pSp, e4e or ReStyle file for its generator; raises `LatentMismatchError`."""
    guess = FieldGuess(generator, path)
    return LoadedEncoder(None, {}, guess.report, guess, lambda targets: guess(targets).mean(dim=1))
