"""The one door for checkpoints: find the file, recognise its format, load it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylegan_core.assets import asset_path, no_such_generator
from stylegan_core.checkpoints.assemble import Checkpoint
from stylegan_core.checkpoints.native import load_safetensors, read_safetensors
from stylegan_core.checkpoints.nvidia import is_nvidia, load_nvidia, load_plain
from stylegan_core.checkpoints.rosinality import decoder_state, is_rosinality, load_psp, load_rosinality
from stylegan_core.checkpoints.tensorflow import find_tensorflow, load_tensorflow
from stylegan_core.checkpoints.torch_file import read_nvidia_pickle, read_torch_stream, read_torch_zip
from stylegan_core.errors import CheckpointError
from stylegan_core.models import local_file
from stylegan_core.networks.protocol import Generator

# What a file with the right names but nonsense under them can raise on its way to the checks.
_MALFORMED = (ValueError, TypeError, KeyError, IndexError, RuntimeError, OverflowError, RecursionError)


def load_generator(path_or_name: str | Path, device: str | torch.device = "cpu") -> Generator:
    """Load the generator of a checkpoint file, or an embedded one by name (`faces64`), ready for use on `device`.

    It is in eval mode, its parameters take no gradients, and its `meta` tells what the file was."""
    generator: Any = load_checkpoint(path_or_name).generator.to(device)
    loaded: Generator = generator
    return loaded


def load_checkpoint(path_or_name: str | Path) -> Checkpoint:
    """Load all of a checkpoint on the CPU: generator, discriminator where there is one, and what is known of them."""
    path = find_checkpoint(path_or_name)
    with _named(path):
        kind = sniff(path)
        return load_safetensors(path) if kind == "safetensors" else interpret(path, READERS[kind](path))


def read_content(path: Path) -> Any:
    """Return what a pickle or torch file holds as plain values, nothing of it executed; raises `CheckpointError`."""
    with _named(path):
        kind = sniff(path)
        if kind == "safetensors":
            return read_safetensors(path)[0]
        return READERS[kind](path)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Let every failure to make sense of a file be a `CheckpointError` that names it."""
    try:
        yield
    except CheckpointError as error:
        if str(error).startswith(str(path)):
            raise
        raise type(error)(f"{path}: {error}") from None
    except _MALFORMED as error:
        raise CheckpointError(f"{path}: its content fits no known layout ({type(error).__name__}: {error})") from None


def interpret(path: Path, content: Any) -> Checkpoint:
    """Recognise what a pickle or torch file holds by its keys, and build it."""
    if is_nvidia(content):
        return load_nvidia(path, content)
    networks = find_tensorflow(content)
    if networks is not None:
        return load_tensorflow(path, *networks)
    decoder = decoder_state(content)
    if decoder is not None:
        return load_psp(path, content, decoder)
    for state in _state_dicts(content):
        if is_rosinality(state):
            return load_rosinality(path, content, state)
        if "synthesis.b4.const" in state or "synthesis.input.freqs" in state:
            return load_plain(path, state)
    keys = list(content)[:6] if isinstance(content, Mapping) else []
    seen = ", ".join(map(str, keys)) if keys else type(content).__name__
    raise CheckpointError(f"no StyleGAN generator of a known format in it (it holds {seen:.200})")


def _state_dicts(content: Any) -> list[Mapping[str, Tensor]]:
    """Return the state dicts in a torch file: itself, or under the names in common use."""
    if not isinstance(content, Mapping):
        return []
    names = ("g_ema", "G_ema", "params_ema", "generator", "state_dict", "model", "G", "g")
    found = [value for value in (content, *map(content.get, names)) if isinstance(value, Mapping)]
    return [{k: v for k, v in value.items() if isinstance(v, Tensor)} for value in found]


def find_checkpoint(path_or_name: str | Path) -> Path:
    """Return the file of a path, an embedded generator's or a public model's name, an https URL or hf:OWNER/REPO/FILE.

    What is elsewhere is fetched into the cache first, and checked ever after (`stylegan_core.models`)."""
    path = local_file(str(path_or_name))
    if path.is_file():
        return path
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder; name the checkpoint file in it")
    embedded = {file.stem: file for file in sorted(asset_path("").glob("*.safetensors")) if is_generator(file)}
    if str(path_or_name) in embedded:
        return embedded[str(path_or_name)]
    raise CheckpointError(no_such_generator(str(path_or_name)))


def is_generator(path: Path) -> bool:
    """Tell whether a safetensors file has a generator's config in its header (and is not a classifier's weights)."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        return b'"config"' in file.read(min(size, 1 << 20))


def sniff(path: Path) -> str:
    """Return the format of a file by its first bytes, or refuse it."""
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error}") from None
    if len(head) >= 10 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 27:
        return "safetensors"
    if head[:4] == b"PK\x03\x04":
        return "torch-zip"
    if head[:13] == b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P":
        return "torch-stream"
    if head[:1] == b"\x80" or (head and path.suffix in (".pkl", ".pickle")):
        return "pickle"
    raise CheckpointError(f"{path}: not a checkpoint of a known format (it starts with {head[:8]!r})")


def _read_stream(path: Path) -> Any:
    with path.open("rb") as file:
        return read_torch_stream(file)


READERS: dict[str, Callable[[Path], Any]] = {
    "torch-zip": read_torch_zip,
    "torch-stream": _read_stream,
    "pickle": lambda path: read_nvidia_pickle(path.read_bytes()),
}
