"""What the functions that checkpoints call stand for: arrays, tensors and plain containers, with bounds checks."""

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stylegan_core.checkpoints.unpickle import Global, Rebuild, Record
from stylegan_core.errors import CheckpointError, UnsafePickleError

DTYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
_NUMERIC = re.compile(r"[|<>=]?([fiu][1248]|b1|\?)")


@dataclass(frozen=True)
class Storage:
    """The flat values [numel] behind tensors."""

    values: Tensor


class DtypeStub:
    """A numpy dtype while its pickle is being read: the constructor gives the kind, the state the byte order."""

    def __init__(self, text: Any, *flags: Any) -> None:
        if isinstance(text, Global):  # numpy.dtype(float) and the like do not occur in checkpoints
            raise UnsafePickleError(f"a numpy dtype made of {text.name}")
        if not isinstance(text, str) or not _NUMERIC.fullmatch(text):
            raise UnsafePickleError(f"a numpy array of dtype {text!r:.40}; only numbers are read, no objects")
        self.dtype = np.dtype(text)

    def set_pickle_state(self, state: Any) -> None:
        """Take the byte order from numpy's state tuple."""
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ("<", ">", "=", "|"):
            raise CheckpointError("a numpy dtype with a damaged state")
        if state[1] in "<>":
            self.dtype = self.dtype.newbyteorder(state[1])


class ArrayStub:
    """A numpy array while its pickle is being read; `array` is there once its state came."""

    def __init__(self, *args: Any) -> None:
        self.array: np.ndarray = np.zeros([0], dtype=np.float32)

    def set_pickle_state(self, state: Any) -> None:
        """Take (version, shape, dtype, is_fortran, raw bytes); the bytes must be exactly those the shape needs."""
        if not isinstance(state, tuple) or len(state) != 5:
            raise CheckpointError("a numpy array with a damaged state")
        _, shape, dtype, fortran, raw = state
        self.array = _array(raw, dtype, shape, "F" if fortran else "C")


def as_array(value: Any) -> np.ndarray | None:
    """Return a value of a pickle as a numpy array if it is an array, a tensor or a number; else None."""
    if isinstance(value, ArrayStub):
        return value.array
    if isinstance(value, Tensor):
        return value.float().numpy() if value.dtype == torch.bfloat16 else value.numpy()
    if isinstance(value, (int, float)):
        return np.asarray(value)
    return None


def _array(raw: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    if not isinstance(dtype, DtypeStub):
        raise UnsafePickleError("a numpy array without a numeric dtype; only numbers are read, no objects")
    raw = raw.encode("latin-1") if isinstance(raw, str) else raw
    if not isinstance(raw, bytes) or not _is_shape(shape):
        raise UnsafePickleError("a numpy array that does not hold plain numbers")
    if math.prod(shape) * dtype.dtype.itemsize != len(raw):
        raise CheckpointError(f"a numpy array of shape {list(shape)} with {len(raw)} bytes of values")
    values = np.frombuffer(raw, dtype).reshape(shape, order="F" if order == "F" else "C")
    return values.astype(dtype.dtype.newbyteorder("="), copy=False)


def _is_shape(shape: Any) -> bool:
    return isinstance(shape, tuple) and len(shape) <= 8 and all(type(n) is int and 0 <= n < 1 << 40 for n in shape)


def _scalar(dtype: Any, raw: Any) -> Any:
    return _array(raw, dtype, (), "C").item()


def _from_buffer(raw: Any, dtype: Any, shape: Any, order: Any = "C") -> ArrayStub:
    stub = ArrayStub()
    stub.array = _array(raw, dtype, shape, order)
    return stub


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1", "utf-8"):
        raise CheckpointError("an encoded string that is none")
    return text.encode(encoding)


def _dict(*args: Any) -> dict[Any, Any]:
    """Make an OrderedDict, defaultdict or dict, empty or of key-value pairs."""
    pairs = args[0] if args and isinstance(args[0], list) else []
    if not all(isinstance(pair, (list, tuple)) and len(pair) == 2 and isinstance(pair[0], str) for pair in pairs):
        raise CheckpointError("a dictionary made of something other than named values")
    return {pair[0]: pair[1] for pair in pairs}


def _sequence(kind: type) -> Rebuild:
    return lambda items=(): kind(item for item in items if isinstance(item, (str, int, float, bytes)))


def _record(cls: Any, *args: Any) -> Any:
    """Make the instance that `copyreg._reconstructor(cls, base, state)` stands for."""
    if not isinstance(cls, Global):
        raise UnsafePickleError("an instance of something that is no class by name")
    return Record(cls.name)


def _persistent_object(meta: Any) -> Record:
    """Make a record of an NVIDIA persistent object; the module source it carries stays text."""
    values = meta.items if isinstance(meta, Record) else meta
    if not isinstance(values, dict) or not isinstance(values.get("class_name"), str):
        raise CheckpointError("a persistent object without a class name")
    return Record(values["class_name"], (values.get("module_src", ""),), values.get("state"))


def rebuild_tensor(storage: Any, offset: Any, size: Any, stride: Any, *rest: Any) -> Tensor:
    """Return the view of `storage` that torch's `_rebuild_tensor_v2` describes; it must lie inside, without overlap."""
    if not isinstance(storage, Storage) or not _is_shape(size) or not _is_shape(stride) or len(size) != len(stride):
        raise CheckpointError("a tensor with damaged shape or storage")
    numel, available = math.prod(size), storage.values.numel()
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) if numel else 0
    if type(offset) is not int or offset < 0 or numel > available or (numel and last >= available):
        raise CheckpointError(f"a tensor of shape {list(size)} reaches beyond its {available} stored values")
    return torch.as_strided(storage.values, size, stride, offset)


def _parameter(data: Any, *rest: Any) -> Tensor:
    if not isinstance(data, Tensor):
        raise CheckpointError("a parameter that is no tensor")
    return data


def make_storage(kind: Any, raw: bytes, numel: Any) -> Storage:
    """Return `numel` values of a torch storage type from their raw bytes."""
    name = kind.name.rpartition(".")[2] if isinstance(kind, Global) else ""
    dtype = DTYPES.get(name)
    if dtype is None or type(numel) is not int or numel < 0:
        raise CheckpointError(f"a tensor storage of unknown type {name!r:.40}")
    if numel * dtype.itemsize != len(raw):
        raise CheckpointError(
            f"a tensor storage of {numel} values with {len(raw)} bytes; the file is damaged or truncated"
        )
    return Storage(torch.frombuffer(bytearray(raw), dtype=dtype) if raw else torch.zeros([0], dtype=dtype))


CONTAINERS: dict[str, Rebuild] = {
    "collections.OrderedDict": _dict,
    "collections.defaultdict": _dict,
    "_codecs.encode": _encode,
    "copyreg._reconstructor": _record,
    "copy_reg._reconstructor": _record,
    "builtins.set": _sequence(set),
    "builtins.frozenset": _sequence(frozenset),
    "builtins.list": _sequence(list),
    "builtins.dict": _dict,
    "__builtin__.set": _sequence(set),
    "torch.Size": lambda items=(): tuple(items),
    "torch.device": lambda *args: ":".join(str(arg) for arg in args if isinstance(arg, (str, int))),
}
ARRAYS: dict[str, Rebuild] = {
    "numpy.dtype": DtypeStub,
    **{f"numpy.{core}.multiarray._reconstruct": ArrayStub for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": _scalar for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": _from_buffer for core in ("core", "_core")},
}
TENSORS: dict[str, Rebuild] = {
    "torch._utils._rebuild_tensor": rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": rebuild_tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
}
PERSISTENT: dict[str, Rebuild] = {"torch_utils.persistence._reconstruct_persistent_obj": _persistent_object}
FUNCTIONS: dict[str, Rebuild] = {**CONTAINERS, **ARRAYS, **TENSORS}

CLASSES = frozenset(
    {
        "numpy.ndarray",
        "dnnlib.util.EasyDict",
        "dnnlib.EasyDict",
        "dnnlib.tflib.network.Network",
        "tfutil.Network",
        "argparse.Namespace",
        "types.SimpleNamespace",
        "pathlib.PosixPath",
        "pathlib.WindowsPath",
        "pathlib.PurePosixPath",
        "pathlib._local.PosixPath",
        "builtins.object",
        "__builtin__.object",
        "builtins.int",
        "builtins.float",
        "builtins.str",
        "builtins.bool",
        *(f"torch.{name}" for name in (*DTYPES, "UntypedStorage")),
        *(f"torch.{name}" for name in ("float32", "float64", "float16", "bfloat16", "int64", "int32", "uint8", "bool")),
    }
)
