"""Encoders out of the `.pt` files that pSp, e4e and ReStyle publish: weights, options, the mean of W, the decoder."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from inversion.encoders.backbone import MAX_CHANNELS, BackboneShape, backbone_shape
from inversion.encoders.heads import FlatEncoder, MeanEncoder, PyramidEncoder
from inversion.encoders.weights import filled, tensors_under
from stylegan_core.checkpoints.assemble import synthesis_fingerprint
from stylegan_core.checkpoints.load import read_content
from stylegan_core.checkpoints.rosinality import decoder_state, generator_weights
from stylegan_core.checkpoints.unpickle import Record
from stylegan_core.errors import CheckpointError

MAX_CONVS = 10  # of a style block
ROUNDS = 5  # of ReStyle where a file names none
MAX_ROUNDS = 50


@dataclass(frozen=True)
class Kind:
    """A published encoder class."""

    title: str
    build: Callable[[BackboneShape, int, tuple[int, ...]], nn.Module]
    iterative: bool = False  # sees the reconstruction so far and improves on it, in rounds


KINDS = {
    "GradualStyleEncoder": Kind("pSp", partial(PyramidEncoder, progressive=False)),
    "Encoder4Editing": Kind("e4e", partial(PyramidEncoder, progressive=True)),
    "BackboneEncoder": Kind("ReStyle-pSp", partial(FlatEncoder, progressive=False), True),
    "ProgressiveBackboneEncoder": Kind("ReStyle-e4e", partial(FlatEncoder, progressive=True), True),
    "BackboneEncoderUsingLastLayerIntoW": Kind("pSp-W", lambda shape, w_dim, _: MeanEncoder(shape, w_dim)),
}
ALIASES = {"SingleStyleCodeEncoder": "BackboneEncoderUsingLastLayerIntoW"}  # e4e's name for it


@dataclass(frozen=True)
class EncoderFile:
    """What a file of the field holds."""

    path: Path
    title: str  # e4e, pSp, ReStyle-e4e, ReStyle-pSp, pSp-W
    network: nn.Module  # [N, 3 or 6, 256, 256] -> offsets [N, num_ws or 1, w_dim]
    iterative: bool
    rounds: int
    latent_avg: Tensor | None  # [1 or num_ws, w_dim]; None: the generator's own mean
    from_average: bool  # offsets are to the mean of W
    decoder: str  # fingerprint of the decoder's synthesis weights; empty where the file has none


def load_encoder_file(path: Path, device: torch.device) -> EncoderFile:
    """Load the encoder of a torch file; raises `CheckpointError` for anything else than the kinds in `KINDS`."""
    content = read_content(path)
    weights = tensors_under(content.get("state_dict"), "encoder.") if isinstance(content, Mapping) else {}
    if not weights:
        raise CheckpointError(f"{path}: no encoder in it; give a file of pSp, e4e or ReStyle, with encoder.* weights")
    options = options_of(content)
    name = encoder_type(options, weights, path)
    try:
        shape, depths = backbone_shape(weights), style_depths(weights)
        w_dim = _w_dim(weights)
    except CheckpointError as error:
        raise CheckpointError(f"{path} ({KINDS[name].title} encoder): {error}") from None
    if shape.in_channels != (6 if KINDS[name].iterative else 3):
        raise CheckpointError(
            f"{path}: its encoder takes {shape.in_channels} channels, so it is one for sketches or segmentations; "
            "an encoder of photos is needed"
        )
    with torch.device("meta"):
        network = KINDS[name].build(shape, w_dim, depths)
    network = filled(network, weights, f"{path} ({KINDS[name].title} encoder)", device)
    decoder = decoder_state(content)
    return EncoderFile(
        path,
        KINDS[name].title,
        network,
        KINDS[name].iterative,
        rounds_of(options, path) if KINDS[name].iterative else 1,
        latent_average(content.get("latent_avg"), w_dim, len(depths), path, device),
        bool(options.get("start_from_latent_avg", True)),
        synthesis_fingerprint(generator_weights(decoder).state) if decoder else "",
    )


def options_of(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the training options inside a file (a dict or an argparse.Namespace); empty where there are none."""
    options = content.get("opts")
    if isinstance(options, Record):
        options = options.state
    return {str(name): value for name, value in options.items()} if isinstance(options, Mapping) else {}


def encoder_type(options: Mapping[str, Any], weights: Mapping[str, Tensor], path: Path) -> str:
    """Return the key in `KINDS` of a file's encoder: what its options name, as far as the weights agree."""
    fitting: tuple[str, ...]
    if "latlayer1.weight" in weights:
        fitting = ("GradualStyleEncoder", "Encoder4Editing")
    elif "styles.0.linear.weight" in weights:
        fitting = ("BackboneEncoder", "ProgressiveBackboneEncoder")
    else:
        fitting = ("BackboneEncoderUsingLastLayerIntoW",)
    named = str(options.get("encoder_type", ""))
    named = ALIASES.get(named, named)
    if not named and len(fitting) == 1:
        return fitting[0]
    if not named:
        titles = " or ".join(KINDS[name].title for name in fitting)
        raise CheckpointError(
            f"{path}: {titles} alike have such weights, and the options (opts) inside name no encoder_type; "
            "give the file as its authors published it"
        )
    if named not in KINDS:
        raise CheckpointError(f"{path}: its encoder is a {named:.80}; those on IR-SE50 are read: {', '.join(KINDS)}")
    if named not in fitting:
        raise CheckpointError(f"{path}: its options name a {named}, but the weights are those of a {fitting[0]}")
    return named


def style_depths(weights: Mapping[str, Tensor]) -> tuple[int, ...]:
    """Return the number of convolutions in each style block."""
    depths: list[int] = []
    while f"styles.{len(depths)}.linear.weight" in weights and len(depths) <= MAX_CHANNELS:
        prefix, count = f"styles.{len(depths)}.convs.", 0
        while f"{prefix}{2 * count}.weight" in weights and count < MAX_CONVS:
            count += 1
        depths.append(count)
    if depths and not 1 <= min(depths) <= max(depths) <= min(depths) + 2:
        raise CheckpointError(f"its style blocks have {min(depths)} to {max(depths)} convolutions; 4 to 6 are usual")
    return tuple(depths)


def rounds_of(options: Mapping[str, Any], path: Path) -> int:
    """Return how often ReStyle's encoder looks again."""
    rounds = options.get("n_iters_per_batch", ROUNDS)
    if not isinstance(rounds, int) or not 1 <= rounds <= MAX_ROUNDS:
        raise CheckpointError(f"{path}: its options ask for {rounds!r:.40} rounds; 1 to {MAX_ROUNDS} make sense")
    return rounds


def latent_average(value: Any, w_dim: int, num_ws: int, path: Path, device: torch.device) -> Tensor | None:
    """Return a file's `latent_avg`, one or one a layer, as [1 or num_ws, w_dim]; None where there is none."""
    if not isinstance(value, Tensor):
        return None
    rows = value.detach().float().reshape(-1, value.shape[-1]) if value.numel() else value.reshape(0, 0)
    if rows.shape[1] != w_dim or (rows.shape[0] not in (1, num_ws) and num_ws):
        raise CheckpointError(
            f"{path}: latent_avg has shape {list(value.shape)}; [{w_dim}] or [{num_ws}, {w_dim}] is expected"
        )
    if not bool(torch.isfinite(rows).all()):
        raise CheckpointError(f"{path}: latent_avg has NaN or infinite values")
    return (rows if num_ws else rows[:1]).to(device)


def _w_dim(weights: Mapping[str, Tensor]) -> int:
    linear = weights.get("styles.0.linear.weight", weights.get("linear.weight"))
    if linear is None or linear.ndim != 2 or not 1 <= linear.shape[0] <= MAX_CHANNELS:
        raise CheckpointError("no layer in it gives codes (styles.0.linear or linear)")
    return int(linear.shape[0])
