"""Codes for aligned faces, by an encoder of the field and the generator it was trained with."""

from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from inversion.encoders.files import EncoderFile, load_encoder_file
from stylegan_core.checkpoints.assemble import synthesis_fingerprint
from stylegan_core.errors import CheckpointError, LatentMismatchError
from stylegan_core.networks.protocol import Alignment, Generator
from stylegan_core.ops.resample import resized

SIDE = 256  # pixels of the encoders' input
ALIGNMENT = Alignment()  # the FFHQ crop, on which they were trained
TOLERANCE = 1e-3  # of the alignment's numbers

_fingerprints: dict[str, str] = {}  # of synthesis weights, by the generator's fingerprint


class FieldGuess:
    """Targets [N, C, R, R] in [-1, 1] -> ws [N, num_ws, w_dim], by the encoder in a file, for a generator.

    Raises `LatentMismatchError` where the encoder was trained with another decoder, size of code, or crop."""

    def __init__(self, generator: Generator, path: Path) -> None:
        if not path.is_file():
            raise CheckpointError(f"{path}: no such file; check the path of the encoder")
        self.generator = generator
        self.encoder = _load(path, generator.w_avg.device, path.stat().st_mtime_ns)
        self.report = {"encoder": self.encoder.title, "file": path.name, "rounds": self.encoder.rounds}
        check_encoder(self.encoder, generator)

    def __call__(self, targets: Tensor) -> Tensor:
        """Return ws [N, num_ws, w_dim]."""
        return guess(self.encoder, self.generator, targets)


def guess(encoder: EncoderFile, generator: Generator, targets: Tensor) -> Tensor:
    """Return codes [N, num_ws, w_dim] of targets [N, C, R, R] in [-1, 1].

    An iterative encoder sees the render of the codes so far beside the target, the mean face first, and adds to them,
    `rounds` times (Alaluf et al. 2021, section 4.1)."""
    images = resized(targets.expand(-1, 3, -1, -1), SIDE)
    mean = (generator.w_avg[None] if encoder.latent_avg is None else encoder.latent_avg).to(images)
    average = mean.expand(len(images), generator.num_ws, -1)  # [N, num_ws, w_dim]
    start = average if encoder.from_average or encoder.iterative else torch.zeros_like(average)
    if not encoder.iterative:
        return start + encoder.network(images)
    shown, ws = _render(generator, average[:1]).expand(len(images), -1, -1, -1), start
    for number in range(encoder.rounds):
        ws = ws + encoder.network(torch.cat([images, shown], dim=1))
        if number + 1 < encoder.rounds:
            shown = _render(generator, ws)
    return ws


def check_encoder(encoder: EncoderFile, generator: Generator) -> None:
    """Refuse a generator that is not the encoder's; raises `LatentMismatchError` that names both."""
    meta = generator.meta
    own = encoder.network.state_dict()
    w_dim = next(own[name] for name in ("styles.0.linear.weight", "linear.weight") if name in own).shape[0]
    num_ws = len(getattr(encoder.network, "styles", [])) or generator.num_ws
    if (num_ws, w_dim) != (generator.num_ws, generator.w_dim):
        raise LatentMismatchError(
            f"{encoder.path}: an encoder ({encoder.title}) of {num_ws} codes of {w_dim}, but {meta.name} takes "
            f"{generator.num_ws} of {generator.w_dim}; use it with its own generator: --generator {encoder.path}"
        )
    if encoder.decoder and encoder.decoder != _synthesis(generator):
        raise LatentMismatchError(
            f"{encoder.path}: an encoder ({encoder.title}) for the decoder in its file ({encoder.decoder[:12]}), but "
            f"{meta.name}'s weights are others ({_synthesis(generator)[:12]}); use it with its own generator: "
            f"--generator {encoder.path}"
        )
    crop = meta.alignment
    off = max(abs(crop.crop_scale - ALIGNMENT.crop_scale), abs(crop.crop_shift - ALIGNMENT.crop_shift))
    if off > TOLERANCE:
        raise LatentMismatchError(
            f"{encoder.path}: an encoder ({encoder.title}) takes the FFHQ crop, but the faces of {meta.name} are "
            f"cropped otherwise (crop_scale {crop.crop_scale:g}, crop_shift {crop.crop_shift:g}); train an encoder for "
            "it with `invertigo encoder train`"
        )


def _render(generator: Generator, ws: Tensor) -> Tensor:
    images: Tensor = generator.synthesis(ws, noise_mode="const")
    return F.adaptive_avg_pool2d(images.expand(-1, 3, -1, -1), SIDE)


def _synthesis(generator: Generator) -> str:
    """Return the fingerprint of a generator's synthesis weights, computed once for each generator."""
    key = generator.meta.fingerprint
    if key not in _fingerprints:
        assert isinstance(generator, nn.Module)
        _fingerprints[key] = synthesis_fingerprint(generator.state_dict())
    return _fingerprints[key]


@lru_cache(maxsize=1)
def _load(path: Path, device: torch.device, stamp: int) -> EncoderFile:
    return load_encoder_file(path, device)
