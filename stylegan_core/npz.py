"""Read .npz files of strangers: arrays alone, and no more memory than the file is large."""

import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stylegan_core.errors import LatentError

MAX_BYTES = 512 << 20  # of all arrays together, unpacked


def read_npz(path: str | Path, max_bytes: int = MAX_BYTES) -> dict[str, NDArray[Any]]:
    """Read the arrays of an .npz with every claim of its headers checked before memory is taken.

    Raises `LatentError` for other files, object arrays (pickles), and more than `max_bytes` unpacked."""
    path = Path(path)
    if not path.is_file():
        raise LatentError(f"{path}: no such file; check the path")
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) > 256 or sum(member.file_size for member in members) > max_bytes:
                raise LatentError(f"{path}: claims more than {max_bytes:,} bytes unpacked; it is not a latent")
            return {member.filename.removesuffix(".npy"): _read_array(archive, member, path) for member in members}
    except (zipfile.BadZipFile, OSError, ValueError, EOFError, KeyError, RuntimeError, NotImplementedError) as error:
        reason = " ".join(str(error).split())[:160]
        raise LatentError(f"{path}: not a readable .npz file ({reason}); give a latent.npz") from error


def _read_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> NDArray[Any]:
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in read_header:
            raise LatentError(f"{path}: array '{member.filename}' has the unknown format {version}")
        shape, _, dtype = read_header[version](file)
    if dtype.hasobject:
        raise LatentError(f"{path}: array '{member.filename}' hides a pickle, which could run code; it was not opened")
    if math.prod(shape) * dtype.itemsize > member.file_size:
        raise LatentError(f"{path}: array '{member.filename}' claims {shape} but the file is shorter; it is damaged")
    with archive.open(member) as file:
        return np.lib.format.read_array(file, allow_pickle=False)
