"""Directions of other tools, read without running anything in their files."""

import io
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from editing.config import ImportConfig
from editing.layers import parse_layers
from stylegan_core.checkpoints.load import load_generator
from stylegan_core.checkpoints.rebuild import as_array
from stylegan_core.checkpoints.torch_file import read_torch_stream, read_torch_zip
from stylegan_core.console import Console
from stylegan_core.directions import Direction, check_direction, save_direction
from stylegan_core.errors import LatentError, ToolkitError
from stylegan_core.models import local_file
from stylegan_core.npz import read_npz

MAX_NPY = 256 << 20  # bytes

Found = tuple[NDArray[Any], str]  # vector, and what the file was


def import_direction(
    file: str, name: str, out: str, generator_name: str, config: ImportConfig, console: Console
) -> None:
    """Write one direction of a foreign file as ours, for a generator the file itself does not name."""
    generator = load_generator(generator_name)
    array, kind = read_foreign(local_file(file), config.component)
    vector = as_step(array, file) * config.scale
    meta = generator.meta
    layers = tuple(parse_layers(config.layers, generator.num_ws)) if config.layers != "all" else None
    report = {
        "method": f"import of {kind}",
        "file": Path(file).name,
        "component": config.component,
        "scale": config.scale,
        **({"attribute": config.judge} if config.judge else {}),
    }
    unit = f"{config.scale:g} times the step in {Path(file).name}"
    direction = Direction(name, vector, meta.fingerprint, meta.name, layers, unit, report)
    check_direction(direction, generator, file)
    save_direction(out, direction)
    console.say(f"{out}: {name} for {meta.name}, from {kind}; that it was made for this generator is your word")


def read_foreign(path: Path, component: int = 0) -> Found:
    """Return a direction's array and what kind of file it was in; raises `LatentError`.

    Known: .npy [w_dim], [1, w_dim] (InterFaceGAN) and [num_ws, w_dim] (Puzer); .npz of GANSpace; torch files with a
    tensor (e4e, PTI), with `comp` and `std` (ffhq_pca.pt), or with `eigvec` (rosinality's factor.pt)."""
    readers = {".npy": _from_npy, ".npz": _from_npz, ".pt": _from_torch, ".pth": _from_torch}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise LatentError(f"{path}: not a kind of direction file that is known; give {', '.join(readers)}")
    if not path.is_file():
        raise LatentError(f"{path}: no such file; check the path")
    try:
        return reader(path, component)
    except ToolkitError as error:
        raise LatentError(str(error) if str(path) in str(error) else f"{path}: {error}") from error
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise LatentError(f"{path}: damaged ({' '.join(str(error).split())[:160]}); get the file again") from error


def as_step(array: NDArray[Any], source: str) -> Tensor:
    """Return [1, 1 or num_ws, w_dim] float32 of an array [w_dim], [L, w_dim] or [1, L, w_dim]."""
    array = array[None] if array.ndim == 1 else array
    array = array[None] if array.ndim == 2 else array
    good = array.ndim == 3 and array.shape[0] == 1 and np.issubdtype(array.dtype, np.floating)
    if not good or not array.size or not np.isfinite(array).all() or not array.any():
        raise LatentError(f"{source}: {array.dtype} {list(array.shape)} is no direction; expected [layers, w_dim]")
    return torch.from_numpy(array.astype(np.float32))


def _from_npy(path: Path, component: int) -> Found:
    with path.open("rb") as file:
        data = file.read(MAX_NPY + 1)
    if len(data) > MAX_NPY:
        raise LatentError(f"{path}: more than {MAX_NPY:,} bytes; it is no direction")
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in read_header:
        raise LatentError(f"{path}: .npy of the unknown version {version}")
    shape, _, dtype = read_header[version](stream)
    if dtype.hasobject:
        raise LatentError(f"{path}: hides a pickle, which could run code; it was not opened")
    if math.prod(shape) * dtype.itemsize > len(data):
        raise LatentError(f"{path}: claims {shape} but the file is shorter; it is damaged")
    array = np.load(io.BytesIO(data), allow_pickle=False)
    return array, "a boundary (.npy)" if array.size == array.shape[-1] else "a direction in W+ (.npy)"


def _from_npz(path: Path, component: int) -> Found:
    arrays = read_npz(path)
    if "lat_comp" not in arrays:
        raise LatentError(f"{path}: no 'lat_comp' in it, so it is not GANSpace's; give another file")
    return _scaled_component(arrays["lat_comp"], arrays.get("lat_stdev"), component, path), "GANSpace components (.npz)"


def _from_torch(path: Path, component: int) -> Found:
    if zipfile.is_zipfile(path):
        content = read_torch_zip(path)
    else:
        with path.open("rb") as file:
            content = read_torch_stream(file)
    if isinstance(content, dict) and "comp" in content:
        spread = as_array(content.get("std"))
        return _scaled_component(_array(content["comp"], path), spread, component, path), "principal components (.pt)"
    if isinstance(content, dict) and "eigvec" in content:
        vectors = _array(content["eigvec"], path)
        if vectors.ndim != 2:
            raise LatentError(f"{path}: 'eigvec' is {list(vectors.shape)}, expected [w_dim, components]")
        return _scaled_component(vectors.T, None, component, path), "factors of modulation weights (.pt)"
    return _array(content, path), "a boundary (.pt)"


def _array(value: Any, path: Path) -> NDArray[Any]:
    array = as_array(value)
    if array is None or array.ndim == 0:
        raise LatentError(f"{path}: a torch file without a direction; expected a tensor, 'comp', or 'eigvec'")
    return array.astype(np.float32)


def _scaled_component(
    components: NDArray[Any], spread: NDArray[Any] | None, component: int, path: Path
) -> NDArray[Any]:
    if not 0 <= component < len(components):
        raise LatentError(f"{path}: no component {component}; it has 0 to {len(components) - 1}")
    chosen = components[component].reshape(1, -1)
    return chosen if spread is None else chosen * float(spread.reshape(-1)[component])
