"""Files of torch.save (the zip format, and the older stream of pickles), read without torch.load."""

import pickletools
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from stylegan_core.checkpoints.rebuild import CLASSES, FUNCTIONS, PERSISTENT, Storage, make_storage
from stylegan_core.checkpoints.unpickle import MAX_OPCODES, Global, Rebuild, read_pickle
from stylegan_core.errors import CheckpointError, UnsafePickleError

MAGIC = 0x1950A86A20F9469CFC6C  # first pickle of torch's older format
MAX_PICKLE = 256 << 20  # bytes of the pickle beside the tensors in a zip file
MAX_MEMBERS = 100_000


def read_torch_zip(path: Path) -> Any:
    """Return what torch.save wrote to a zip file: plain values, with tensors in place of tensors."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _read_archive(archive, path.stat().st_size)
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, KeyError) as error:
        raise CheckpointError(f"a torch file that is damaged or truncated ({error})") from None


def _read_archive(archive: zipfile.ZipFile, size: int) -> Any:
    members = {info.filename: info for info in archive.infolist()}
    if len(members) > MAX_MEMBERS:
        raise UnsafePickleError(f"a zip file of {len(members)} members; no checkpoint has that many")
    for info in members.values():
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise UnsafePickleError(
                f"a zip file with compressed content ({info.filename[:80]!r}); torch stores it plain"
            )
    if sum(info.file_size for info in members.values()) > size:
        raise UnsafePickleError("a zip file whose members overlap; no checkpoint's do")
    names = [name for name in members if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(names) != 1:
        raise CheckpointError("a zip file without torch's data.pkl; not a checkpoint")
    if members[names[0]].file_size > MAX_PICKLE:
        raise UnsafePickleError("a torch file whose pickle is larger than any checkpoint's")
    root = names[0].removesuffix("data.pkl")
    if f"{root}byteorder" in members and archive.read(f"{root}byteorder") != b"little":
        raise CheckpointError("a torch file of a big-endian machine")
    storages: dict[str, Storage] = {}

    def load(key: Any) -> Storage:
        kind, name, numel = _storage_key(key)
        if name not in storages:
            storages[name] = make_storage(kind, archive.read(f"{root}data/{name}"), numel)
        return storages[name]

    return read_pickle(archive.read(names[0]), {**FUNCTIONS, **PERSISTENT}, CLASSES, load)


def read_torch_stream(stream: BinaryIO) -> Any:
    """Return what torch.save wrote in its older format: magic, protocol, system, object, keys, then raw storages.

    The object is read twice, since its tensors come before their values: first to learn the storages, then to fill
    them."""
    data = stream.read()
    source = BytesIO(data)
    if _next(source) != MAGIC:
        raise CheckpointError("not a file of torch.save: the magic number is missing")
    if _next(source) != 1001:
        raise CheckpointError("a torch file of an unknown protocol")
    system = _next(source)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise CheckpointError("a torch file of a big-endian machine")
    start = source.tell()
    _skip(source)
    keys = _next(source)
    if not isinstance(keys, list):
        raise CheckpointError("a torch file without a list of its storages")
    end = source.tell()
    places = _places(data, start, end, keys)

    def load(key: Any) -> Storage:
        return places[_storage_key(key)[1]]

    return read_pickle(BytesIO(data[start:end]), {**FUNCTIONS, **PERSISTENT}, CLASSES, load)


def _places(data: bytes, start: int, end: int, keys: list[Any]) -> dict[str, Storage]:
    """Read the storages named `keys` that follow byte `end`, their types taken from the pickle at `start`."""
    kinds: dict[str, tuple[Any, int]] = {}

    def note(key: Any) -> Storage:
        kind, name, numel = _storage_key(key)
        kinds.setdefault(name, (kind, numel))
        return make_storage(Global("torch.ByteStorage"), b"", 0)

    functions: dict[str, Rebuild] = {**FUNCTIONS, **PERSISTENT, **dict.fromkeys(_TENSOR_NAMES, _ignore)}
    read_pickle(BytesIO(data[start:end]), functions, CLASSES, note)
    storages = {}
    for name in keys:
        if not isinstance(name, str) or name not in kinds:
            raise CheckpointError("a torch file whose list of storages does not fit its content")
        kind, numel = kinds[name]
        stored = int.from_bytes(data[end : end + 8], "little")
        size = make_storage(kind, b"", 0).values.itemsize * numel
        if stored != numel or end + 8 + size > len(data):
            raise CheckpointError(f"a torch file that claims {numel} values where {len(data) - end} bytes are left")
        storages[name] = make_storage(kind, data[end + 8 : end + 8 + size], numel)
        end += 8 + size
    return storages


_TENSOR_NAMES = [name for name in FUNCTIONS if name.startswith("torch._utils.")]


def _ignore(*args: Any) -> None:
    return None


def _next(stream: BytesIO) -> Any:
    return read_pickle(stream, {}, frozenset())


def _skip(stream: BytesIO) -> None:
    """Move past one pickle without interpreting it."""
    try:
        for count, (opcode, _, _) in enumerate(pickletools.genops(stream)):
            if opcode.name == "STOP" or count > MAX_OPCODES:  # too many are refused when the pickle is read
                return
    except (ValueError, OverflowError, MemoryError) as error:
        raise CheckpointError(f"a torch file that is damaged or truncated ({str(error)[:80]})") from None


def _storage_key(key: Any) -> tuple[Any, str, int]:
    """Return (type, name, number of values) of a torch persistent id."""
    if not isinstance(key, tuple) or len(key) < 5 or key[0] != "storage" or not isinstance(key[1], Global):
        raise UnsafePickleError("a persistent id that is no tensor storage")
    name, numel = str(key[2]), key[4]
    if type(numel) is not int or not name.isalnum() or (len(key) > 5 and key[5] is not None):
        raise CheckpointError("a tensor storage with a damaged description")
    return key[1], name, numel


def _load_from_bytes(raw: Any) -> Any:
    """Stand in for torch.storage._load_from_bytes, which would run another unlimited unpickler."""
    if not isinstance(raw, bytes):
        raise CheckpointError("an embedded tensor that is no byte string")
    return read_torch_stream(BytesIO(raw))


NVIDIA_FUNCTIONS: dict[str, Callable[..., Any]] = {
    **FUNCTIONS,
    **PERSISTENT,
    "torch.storage._load_from_bytes": _load_from_bytes,
}


def read_nvidia_pickle(data: bytes) -> Any:
    """Return the content of an NVIDIA network pickle, PyTorch or TensorFlow."""
    return read_pickle(data, NVIDIA_FUNCTIONS, CLASSES)
