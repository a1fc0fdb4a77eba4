"""A correction of the features of one layer for one face: small, 16 bit, safe to read from strangers."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stylegan_core.errors import ConfigError, LatentError, LatentMismatchError
from stylegan_core.networks.protocol import FeatureLayer, Generator

MAX_BYTES = 128 << 10  # of a stored correction
COARSEST = 4  # times as many pixels as the corrected features the image has a side at least


@dataclass(frozen=True)
class Correction:
    """What is added to the output of a layer: [whole], or two factors whose product it is, as [C, side^2]."""

    layer: str  # a name in `generator.feature_layers`
    parts: tuple[Tensor, ...]  # [C, side^2], or left [C, rank] and right [rank, side^2]; float16 where it is stored

    @property
    def num_bytes(self) -> int:
        """The size of the stored values in bytes."""
        return sum(part.numel() * 2 for part in self.parts)

    def whole(self, like: Tensor) -> Tensor:
        """Return the correction as features [1, C, side, side]."""
        parts = [part.to(like) for part in self.parts]
        flat = parts[0] if len(parts) == 1 else parts[0] @ parts[1]
        side = math.isqrt(flat.shape[1])
        return flat.reshape(1, -1, side, side)


def choose_layer(generator: Generator, side: int) -> str:
    """Return the name of the layer whose features `--space f` corrects: of those of at most `side` pixels the last.

    A small generator's has a quarter of the image's side at most; where all have more, it is one of the smallest.
    Raises `ConfigError` for a generator that shows no layers."""
    layers = getattr(generator, "feature_layers", {})
    if not layers:
        raise ConfigError(f"--space f corrects features of a layer, but {generator.meta.name} shows none; use w+")
    inside = {name: layer.side - 2 * layer.margin for name, layer in layers.items()}
    limit = max(min(side, generator.img_resolution // COARSEST), min(inside.values()))
    chosen = max(pixels for pixels in inside.values() if pixels <= limit)
    return [name for name, pixels in inside.items() if pixels == chosen][-1]


def rank_of(layer: FeatureLayer) -> int:
    """Return the rank a layer's correction is stored at: the largest within `MAX_BYTES`, or that of a whole one."""
    rows, columns = layer.channels, layer.side**2
    whole = min(rows, columns)
    if 2 * rows * columns <= MAX_BYTES:
        return whole
    return max(1, min(whole, MAX_BYTES // (2 * (rows + columns))))


def low_rank(flat: Tensor, rank: int) -> tuple[Tensor, ...]:
    """Return matrices [N, C, P] as they are where `rank` is theirs, else the factors of their nearest of that rank."""
    if rank >= min(flat.shape[1:]):
        return (flat,)
    left, singular, right = torch.linalg.svd(flat, full_matrices=False)
    scale = singular[:, :rank].sqrt()
    return left[:, :, :rank] * scale[:, None], scale[:, :, None] * right[:, :rank]


def blend(corrections: Sequence[Tensor], shares: Sequence[float], layer: str) -> Correction:
    """Return the sum of features [1, C, side, side], each times its share, as the correction of a layer."""
    total = torch.stack([share * features for features, share in zip(corrections, shares, strict=True)]).sum(dim=0)
    return Correction(layer, (total[0].flatten(1),))


def pack_correction(correction: Correction) -> dict[str, NDArray[Any]]:
    """Return a correction as arrays for an .npz: all values in a row, and layer and shapes as JSON text."""
    about = {"layer": correction.layer, "shapes": [list(part.shape) for part in correction.parts]}
    values = torch.cat([part.detach().cpu().half().flatten() for part in correction.parts])
    return {"features": values.numpy(), "features_layout": np.array(json.dumps(about))}


def unpack_correction(arrays: Mapping[str, NDArray[Any]], source: str) -> Correction | None:
    """Read what `pack_correction` wrote, or None where there is nothing; raises `LatentError` for nonsense."""
    if "features" not in arrays and "features_layout" not in arrays:
        return None
    try:
        values, about = arrays["features"], json.loads(str(arrays["features_layout"]))
        if values.dtype != np.float16 or values.ndim != 1 or not np.isfinite(values).all():
            raise ValueError("its values are not finite 16-bit numbers")
        shapes = [tuple(shape) for shape in about["shapes"]]
        if len(shapes) not in (1, 2) or not all(
            len(shape) == 2 and all(isinstance(n, int) and 0 < n < 1 << 24 for n in shape) for shape in shapes
        ):
            raise ValueError("its shapes make no sense")
        if sum(math.prod(shape) for shape in shapes) != values.size or not isinstance(about["layer"], str):
            raise ValueError("its layout does not fit its values")
        tensors = torch.from_numpy(values.copy()).split([math.prod(shape) for shape in shapes])
        parts = tuple(tensor.reshape(shape) for tensor, shape in zip(tensors, shapes, strict=True))
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError, RuntimeError) as error:
        raise LatentError(f"{source}: its corrected features are damaged ({error}); invert the photo again") from error
    return Correction(about["layer"], parts)


def check_correction(correction: Correction, generator: Generator, source: str) -> None:
    """Refuse a correction whose layer or shape does not fit the generator; raises `LatentMismatchError`."""
    layer = getattr(generator, "feature_layers", {}).get(correction.layer)
    shapes = [tuple(part.shape) for part in correction.parts]
    fits = layer is not None and (shapes[0][0], shapes[-1][1]) == (layer.channels, layer.side**2)
    if not fits or (len(shapes) == 2 and shapes[0][1] != shapes[1][0]):
        raise LatentMismatchError(
            f"{source}: its corrected features '{correction.layer[:40]}' do not fit {generator.meta.name}; "
            "invert the photo again with this generator"
        )
