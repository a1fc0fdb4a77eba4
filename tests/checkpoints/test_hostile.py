"""Files that try to run code, to exhaust the machine, or that are simply broken: all refused at once, none executed."""

import io
import os
import pickle
import struct
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from stylegan_core.checkpoints import load_checkpoint
from stylegan_core.errors import CheckpointError, UnsafePickleError

DATA = Path(__file__).parent.parent / "data"
CANARY = "canary"  # every payload tries to make this file


class Call:
    """Pickles as a call of `function` with `args`."""

    def __init__(self, function: object, *args: object) -> None:
        self.function, self.args = function, args

    def __reduce__(self) -> tuple:
        return self.function, self.args


def by_name(module: str, name: str, *arguments: bytes, protocol: int = 4) -> bytes:
    """Assemble by hand a pickle that calls `module.name`, which need not be importable here."""
    texts = b"".join(b"\x8c" + bytes([len(text)]) + text for text in (module.encode(), name.encode()))
    return bytes([0x80, protocol]) + texts + b"\x93(" + b"".join(arguments) + b"tR."


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


TOUCH = f"touch {CANARY}"
SYSTEM = pickle.dumps(Call(os.system, TOUCH), protocol=2)


def torch_stream(body: bytes, keys: bytes = b"\x80\x02]q\x00.") -> bytes:
    """Assemble a file of torch's older format around the pickle `body`."""
    buffer = io.BytesIO()
    torch.save({}, buffer, _use_new_zipfile_serialization=False)
    data = buffer.getvalue()
    stream = io.BytesIO(data)
    for _ in range(3):
        pickle.load(stream)  # our own bytes: magic, protocol, system  # noqa: S301
    return data[: stream.tell()] + body + keys


def torch_zip(body: bytes, storages: dict[str, bytes] | None = None, compression: int = zipfile.ZIP_STORED) -> bytes:
    """Assemble a file of torch's zip format around the pickle `body`."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr("archive/data.pkl", body)
        for name, raw in (storages or {}).items():
            archive.writestr(f"archive/data/{name}", raw)
    return buffer.getvalue()


def tensor_of(numel: int, size: tuple[int, ...], stride: tuple[int, ...], offset: int = 0) -> bytes:
    """Assemble a pickle of one tensor over the storage '0', which claims `numel` floats."""

    def number(value: int) -> bytes:
        return b"\x8a\x09" + value.to_bytes(8, "little") + b"\0"

    def numbers(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(number(v) for v in values) + b"t"

    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + number(numel) + b"tQ"
    flags = b"\x89ccollections\nOrderedDict\n)R"
    rebuilt = (
        b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + number(offset) + numbers(size) + numbers(stride) + flags
    )
    return b"\x80\x02}" + text("g_ema") + rebuilt + flags + b"tRs."


def one_storage(*claim: object, **more: object) -> bytes:
    """Assemble a torch zip with four floats and a tensor over them as `tensor_of` says."""
    return torch_zip(tensor_of(*claim, **more), {"0": bytes(16)})  # type: ignore[arg-type]


def nested_tuples(depth: int) -> bytes:
    return b"\x80\x04}" + b")" + b"\x85" * depth + b"Ns."


def module_bomb() -> bytes:
    """Modules that hold each other a thousandfold, six levels deep, by memo references."""
    reconstruct = b"\x8c\x17torch_utils.persistence\x8c\x1b_reconstruct_persistent_obj\x93\x94"  # memo 0
    body = b"\x80\x04" + reconstruct + b"0"
    child = b"N"
    memo = 1
    for _ in range(6):
        modules = b"}(" + b"".join(text(f"m{i}") + child for i in range(1000)) + b"u"
        state = b"}(" + text("_modules") + modules + text("_parameters") + b"}" + text("_buffers") + b"}u"
        meta = b"}(" + text("class_name") + text("Generator") + text("state") + state + b"u"
        body += b"h\x00(" + meta + b"tR\x94" + b"0"
        child = b"h" + bytes([memo])
        memo += 1
    return body + b"}" + text("G_ema") + child + b"s."


PICKLES: dict[str, Callable[[], bytes]] = {
    "os.system": lambda: pickle.dumps(Call(os.system, TOUCH)),
    "os.system in protocol 0": lambda: pickle.dumps(Call(os.system, TOUCH), protocol=0),
    "builtins.eval": lambda: pickle.dumps(Call(eval, f"open({CANARY!r}, 'w')")),
    "builtins.exec": lambda: pickle.dumps({"G_ema": Call(exec, f"open({CANARY!r}, 'w')")}),
    "functools.partial": lambda: by_name("functools", "partial", text("x")),
    "getattr chain": lambda: pickle.dumps(Call(getattr, Call(__import__, "os"), "system")),
    "dotted name": lambda: by_name("torch", "storage._load_from_bytes.__globals__", text("x")),
    "importlib": lambda: by_name("importlib", "import_module", text("os")),
    "subprocess": lambda: by_name("subprocess", "Popen", text(TOUCH)),
    "operator.attrgetter": lambda: by_name("operator", "attrgetter", text("system")),
    "marshal": lambda: by_name("marshal", "loads", b"C\x01N"),
    "INST opcode": lambda: b"(S'" + TOUCH.encode() + b"'\nios\nsystem\n.",
    "OBJ opcode": lambda: b"\x80\x02(cos\nsystem\n" + text(TOUCH) + b"o.",
    "extension registry": lambda: b"\x80\x02\x82\x01.",
    "calls a value": lambda: b"\x80\x04" + text("print") + b"(" + text("x") + b"tR.",
    "nested torch.load bytes": lambda: by_name(
        "torch.storage",
        "_load_from_bytes",
        b"B" + struct.pack("<I", len(evil := torch_stream(SYSTEM))) + evil,
    ),
    "nested plain pickle bytes": lambda: by_name(
        "torch.storage",
        "_load_from_bytes",
        b"B" + struct.pack("<I", len(evil := pickle.dumps(Call(os.system, TOUCH)))) + evil,
    ),
    "__reduce__ chain": lambda: pickle.dumps([Call(Call, Call(os.system, TOUCH))]),
    "numpy object array": lambda: pickle.dumps({"G_ema": np.array([Call(os.system, TOUCH)], dtype=object)}),
    "numpy object array without calls": lambda: pickle.dumps({"G_ema": np.array([None, {}], dtype=object)}),
    "numpy structured array": lambda: pickle.dumps(np.zeros(2, dtype=[("a", "O")])),
    "persistent ids": lambda: b"\x80\x04X\x01\x00\x00\x00xQ.",
    "persistent ids in text": lambda: b"Pevil\n.",
    "1 GB of bytes claimed": lambda: b"\x80\x04\x8e" + struct.pack("<Q", 1 << 30) + b"x" * 1000,
    "1 GB bytearray claimed": lambda: b"\x80\x05\x96" + struct.pack("<Q", 1 << 30) + b"x" * 1000,
    "4 GB frame claimed": lambda: b"\x80\x04\x95" + struct.pack("<Q", 1 << 32) + b"N" * 100,
    "memo index of two thousand million": lambda: b"\x80\x04Nr\xff\xff\xff\x7f" + b"0" * 5,
    "tuples nested 300,000 deep as a key": lambda: nested_tuples(300_000),
    "opcode flood": lambda: b"\x80\x04" + b"N0" * 400_000 + b"N.",
    "modules within modules": module_bomb,
    "stack underflow": lambda: b"\x80\x04000R.",
    "no end": lambda: b"\x80\x04]N",
    "an ordinary object": lambda: pickle.dumps({"weights": [1, 2, 3]}),
}
FILES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "torch zip calling os.system": (".pt", lambda: torch_zip(pickle.dumps(Call(os.system, TOUCH), protocol=2))),
    "older torch file calling os.system": (
        ".pt",
        lambda: torch_stream(SYSTEM),
    ),
    "zip bomb": (".pt", lambda: torch_zip(b"\x80\x02" + b"N0" * 40_000_000 + b"N.", compression=zipfile.ZIP_DEFLATED)),
    "tensor beyond its storage": (".pt", lambda: one_storage(4, (1000,), (1,))),
    "tensor before its storage": (".pt", lambda: one_storage(4, (2,), (1,), offset=1 << 40)),
    "tensor repeated a thousand million times": (
        ".pt",
        lambda: torch_zip(tensor_of(4, (1 << 30,), (0,)), {"0": bytes(16)}),
    ),
    "storage of a thousand million floats": (
        ".pt",
        lambda: torch_zip(tensor_of(1 << 30, (1,), (1,)), {"0": bytes(16)}),
    ),
    "older file with such a storage": (
        ".pt",
        lambda: torch_stream(tensor_of(1 << 30, (1,), (1,)), b"\x80\x02]X\x01\0\0\x000a."),
    ),
    "zip without data.pkl": (".pt", lambda: torch_zip(b"N.").replace(b"data.pkl", b"data.pkx")),
    "truncated zip": (".pt", lambda: (DATA / "rosinality-32.pt").read_bytes()[:200_000]),
    "truncated pickle": (".pkl", lambda: (DATA / "sg2ada-32.pkl").read_bytes()[:300_000]),
    "truncated TensorFlow pickle": (".pkl", lambda: (DATA / "sg2-tf-32.pkl").read_bytes()[:-1000]),
    "wrong magic": (".pt", lambda: b"GIF89a" + bytes(1000)),
    "empty": (".pt", lambda: b""),
    "text": (".safetensors", lambda: b"hello, world"),
    "safetensors whose header claims 100 MB": (
        ".safetensors",
        lambda: struct.pack("<Q", 100 << 20) + b"{" + b" " * 1000,
    ),
    "safetensors whose data is missing": (
        ".safetensors",
        lambda: struct.pack("<Q", 64) + b'{"a":{"dtype":"F32","shape":[999999],"data_offsets":[0,3999996]}}'[:64],
    ),
}


def refuse(path: Path, data: bytes, monkeypatch: pytest.MonkeyPatch) -> CheckpointError:
    """Assert that loading `data` fails as it should, within a second of this process's time, and makes no canary."""
    monkeypatch.chdir(path.parent)
    path.write_bytes(data)
    start = time.process_time()
    with pytest.raises(CheckpointError, match=path.name) as caught:
        load_checkpoint(path)
    assert time.process_time() - start < 1
    assert not (path.parent / CANARY).exists()
    return caught.value


@pytest.mark.parametrize("name", PICKLES)
def test_hostile_pickles_are_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(tmp_path / "hostile.pkl", PICKLES[name](), monkeypatch)


@pytest.mark.parametrize("name", FILES)
def test_hostile_and_broken_files_are_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suffix, make = FILES[name]
    refuse(tmp_path / f"hostile{suffix}", make(), monkeypatch)


def test_the_canary_would_sing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ordinary unpickler runs the payload: the tests above can fail."""
    monkeypatch.chdir(tmp_path)
    pickle.loads(PICKLES["os.system"]())  # our own bytes  # noqa: S301
    assert (tmp_path / CANARY).exists()


def test_the_refused_global_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = refuse(tmp_path / "a.pkl", pickle.dumps(Call(os.system, TOUCH)), monkeypatch)
    assert isinstance(error, UnsafePickleError)
    assert f"{os.system.__module__}.system" in str(error)
    inner = refuse(tmp_path / "b.pkl", PICKLES["nested torch.load bytes"](), monkeypatch)
    assert f"{os.system.__module__}.system" in str(inner)


def test_embedded_source_is_not_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = (DATA / "sg2ada-32.pkl").read_bytes()
    source = f"# Copyright NVIDIA, see the licence\nopen({CANARY!r}, 'w')\n"
    empty = b"\x8c\nmodule_src\x94\x8c\x00\x94"
    assert data.count(empty) == 1
    unframed = bytearray(data)
    filled = empty[: empty.index(b"\x8c\x00\x94")] + b"\x8c" + bytes([len(source)]) + source.encode() + b"\x94"
    path = tmp_path / "source.pkl"
    path.write_bytes(bytes(unframed).replace(empty, filled))
    checkpoint = load_checkpoint(path)
    assert "Copyright NVIDIA" in checkpoint.meta.licence
    assert not (tmp_path / CANARY).exists()


def test_random_damage_never_escapes_as_another_error(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for name in ("sg2-tf-32.pkl", "rosinality-32.pt", "sg3t-32.pkl"):
        data = np.frombuffer((DATA / name).read_bytes(), np.uint8)
        for _ in range(12):
            damaged = data.copy()
            places = random.integers(0, min(len(data), 40_000), 12)
            damaged[places] = random.integers(0, 256, 12)
            path = tmp_path / f"damaged{Path(name).suffix}"
            path.write_bytes(damaged.tobytes())
            try:
                load_checkpoint(path)  # values may change without harm
            except CheckpointError as error:
                assert path.name in str(error)
