"""A small difference of a generator's weights: low-rank where that is smaller, 16 bit, safe to read from strangers."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stylegan_core.errors import ConfigError, LatentError, LatentMismatchError
from stylegan_core.networks.protocol import Generator
from stylegan_core.styles import Styles, bias_steps

MAX_TENSORS = 4096
FEW = 4  # a matrix with fewer rows is kept whole (the image layers')


@dataclass(frozen=True)
class Delta:
    """Differences of synthesis parameters by name: [whole] as the parameter, or [left, right] whose product it is."""

    parts: Mapping[str, tuple[Tensor, ...]]  # float16; left [rows, rank], right [rank, columns]

    @property
    def num_bytes(self) -> int:
        """The size of the stored values in bytes."""
        return sum(tensor.numel() * 2 for part in self.parts.values() for tensor in part)


def synthesis_parameters(generator: Generator) -> dict[str, Tensor]:
    """Return the parameters of the generator's synthesis network; raises `ConfigError` where it is none."""
    if not isinstance(generator.synthesis, nn.Module):
        raise ConfigError(f"{generator.meta.name} has no parameters to tune; use --method project")
    return {name: parameter for name, parameter in generator.synthesis.named_parameters()}


def expand(parts: Mapping[str, tuple[Tensor, ...]], parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the parameters with their differences added, those without one as they are."""
    result = dict(parameters)
    for name, part in parts.items():
        parameter = parameters[name]
        difference = multiplied([tensor.to(parameter) for tensor in part])
        result[name] = parameter + difference.reshape(parameter.shape)
    return result


def multiplied(part: Sequence[Tensor]) -> Tensor:
    """Return a difference that is stored whole as it is, and one in two factors as their product."""
    return part[0] if len(part) == 1 else part[0] @ part[1]


def blend_deltas(deltas: Sequence[Delta | None], shares: Sequence[float]) -> Delta | None:
    """Return the mean of deltas (None: no difference), weighted by `shares`; None where none has a difference."""
    parts: dict[str, tuple[Tensor, ...]] = {}
    for delta, share in zip(deltas, shares, strict=True):
        for name, part in (delta.parts if delta else {}).items():
            whole = share * multiplied([tensor.float() for tensor in part])
            parts[name] = (parts[name][0] + whole.reshape(parts[name][0].shape),) if name in parts else (whole,)
    return Delta(parts) if parts else None


def tuned_synthesis(generator: Generator, delta: Delta | None, styles: Styles | None = None) -> Callable[..., Tensor]:
    """Return the generator's synthesis with `delta` added to its weights and `styles` to the styles of every code; the
    generator itself stays as it is."""
    if delta is None and not styles:
        synthesis: Callable[..., Tensor] = generator.synthesis
        return synthesis
    network: Any = generator.synthesis  # a module, as `synthesis_parameters` makes sure
    with torch.no_grad():
        weights = expand(delta.parts if delta else {}, synthesis_parameters(generator))
        weights |= {name: weights[name] + step for name, step in bias_steps(generator, styles or {}).items()}

    def render(*args: Any, **kwargs: Any) -> Tensor:
        return torch.func.functional_call(network, weights, args, kwargs)

    return render


def matrix_shape(parameter: Tensor) -> tuple[int, int]:
    """Return rows and columns of a parameter seen as a matrix: its first axis, and all the others."""
    return parameter.shape[0], parameter.numel() // parameter.shape[0]


def is_whole(parameter: Tensor, rank: int) -> bool:
    """Tell whether a parameter's difference is kept whole: where `rank` would not make it smaller."""
    if parameter.ndim < 2:
        return True
    rows, columns = matrix_shape(parameter)
    return rows < FEW or rank * (rows + columns) >= rows * columns


def size_at(parameters: Mapping[str, Tensor], rank: int) -> int:
    """Return the bytes of a delta of all parameters at `rank`."""
    values = 0
    for parameter in parameters.values():
        values += parameter.numel() if is_whole(parameter, rank) else rank * sum(matrix_shape(parameter))
    return 2 * values


def rank_for(parameters: Mapping[str, Tensor], share: float, num_values: int) -> int:
    """Return the largest rank whose delta takes at most `share` of `num_values` 16-bit values, and at least 1."""
    rank = 1
    while rank < 1024 and size_at(parameters, rank + 1) <= share * 2 * num_values:
        rank += 1
    return rank


def pack_delta(delta: Delta) -> dict[str, NDArray[Any]]:
    """Return a delta as two arrays for an .npz: all values in a row, and their layout as JSON text."""
    layout = {name: [list(tensor.shape) for tensor in part] for name, part in delta.parts.items()}
    flat = [tensor.detach().cpu().half().flatten() for part in delta.parts.values() for tensor in part]
    values = torch.cat(flat) if flat else torch.zeros(0, dtype=torch.float16)
    return {"tune": values.numpy(), "tune_layout": np.array(json.dumps(layout))}


def unpack_delta(arrays: Mapping[str, NDArray[Any]], source: str) -> Delta | None:
    """Read what `pack_delta` wrote, or None where there is nothing; raises `LatentError` for nonsense."""
    if "tune" not in arrays and "tune_layout" not in arrays:
        return None
    try:
        values, layout = arrays["tune"], json.loads(str(arrays["tune_layout"]))
        if values.dtype != np.float16 or values.ndim != 1 or not np.isfinite(values).all():
            raise ValueError("its values are not finite 16-bit numbers")
        sizes = [_size(shape) for shapes in layout.values() for shape in shapes]
        if sum(sizes) != values.size or len(sizes) > MAX_TENSORS:
            raise ValueError("its layout does not fit its values")
        tensors = iter(torch.from_numpy(values.copy()).split(sizes))
        parts = {name: tuple(next(tensors).reshape(s) for s in shapes) for name, shapes in layout.items()}
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError, RuntimeError) as error:
        raise LatentError(f"{source}: its tuned weights are damaged ({error}); invert the photo again") from error
    return Delta(parts)


def check_delta(delta: Delta, generator: Generator, source: str) -> None:
    """Refuse a delta whose names or shapes do not fit the generator; raises `LatentMismatchError`."""
    parameters = synthesis_parameters(generator)
    for name, part in delta.parts.items():
        if name not in parameters or not _fits(part, parameters[name]):
            raise LatentMismatchError(f"{source}: its tuned weights '{name}' do not fit {generator.meta.name}")


def _fits(part: tuple[Tensor, ...], parameter: Tensor) -> bool:
    if len(part) == 1:
        return part[0].shape == parameter.shape
    if len(part) != 2 or parameter.ndim < 2 or any(tensor.ndim != 2 for tensor in part):
        return False
    left, right = part
    return (left.shape[0], right.shape[1]) == matrix_shape(parameter) and left.shape[1] == right.shape[0]


def _size(shape: Any) -> int:
    if not isinstance(shape, list) or not all(isinstance(side, int) and 0 <= side < 1 << 31 for side in shape):
        raise ValueError(f"the shape {shape} makes no sense")
    return math.prod(shape)
