"""The one door for checkpoints: find the file, recognise its format, load it."""

from pathlib import Path
from typing import Any

import torch

from stylegan_core.checkpoints.assemble import Checkpoint
from stylegan_core.checkpoints.native import load_native
from stylegan_core.errors import CheckpointError

ASSETS = Path(__file__).resolve().parent.parent / "assets"
READERS = {"safetensors": load_native}


def load_generator(path_or_name: str | Path, device: str | torch.device = "cpu") -> Any:
    """Load the generator of a checkpoint file, or an embedded one by name (`faces64`), ready for use on `device`.

    It is in eval mode, its parameters take no gradients, and its `meta` tells what the file was."""
    return load_checkpoint(path_or_name).generator.to(device)


def load_checkpoint(path_or_name: str | Path) -> Checkpoint:
    """Load all of a checkpoint on the CPU: generator, discriminator where there is one, and what is known of them."""
    path = find_checkpoint(path_or_name)
    kind = sniff(path)
    return READERS[kind](path)


def find_checkpoint(path_or_name: str | Path) -> Path:
    """Return the file of a path, or of an embedded generator's name."""
    path = Path(path_or_name).expanduser()
    if path.is_file():
        return path
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder; name the checkpoint file in it")
    embedded = {file.stem: file for file in sorted(ASSETS.glob("*.safetensors")) if is_generator(file)}
    if str(path_or_name) in embedded:
        return embedded[str(path_or_name)]
    raise CheckpointError(f"no file {path}, and no embedded generator of that name; embedded: {', '.join(embedded)}")


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
    raise CheckpointError(f"{path}: not a checkpoint of a known format (it starts with {head[:8]!r})")
