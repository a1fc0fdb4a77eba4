"""Long searches that go on where they stopped: a state file beside the output, removed at the end."""

import hashlib
import json
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from inversion.task import Preview, Progress, Task
from stylegan_core.checkpoints.native import read_safetensors, write_safetensors
from stylegan_core.errors import CheckpointError

SAVE_EVERY = 5.0  # seconds
STATE_FORMAT = 2  # of the state files; those of another are not gone on with

State = tuple[dict[str, Tensor], dict[str, Any]]  # tensors, and JSON values


class Resumable(Protocol):
    """Work that advances in steps and can tell, and take back, all of its state."""

    def step(self, step: int) -> float:
        """Take one step and return the mean loss."""

    def finished(self) -> bool:
        """Tell whether further steps are of no use."""

    def state(self) -> State:
        """Return everything the next step depends on."""

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Take over what `state` returned."""


class CodeSearch(Resumable, Protocol):
    """A search for codes, which can be looked at on the way."""

    def ws_so_far(self) -> Tensor:
        """Return the codes [N, num_ws, w_dim] as they stand."""


def run_search(search: CodeSearch, task: Task, total: int, kind: str) -> None:
    """Take `total` steps of a task, those that an interrupted run of the same task has taken left out."""
    signature = task_signature(task, kind) if task.state_file else ""
    progress = _showing(search, task.progress, task.preview) if task.preview else task.progress
    run_steps(search, total, progress, task.state_file, signature)
    if task.state_file and not task.keep_state:
        task.state_file.unlink(missing_ok=True)


def run_steps(
    search: Resumable, total: int, progress: Progress | None = None, path: Path | None = None, signature: str = ""
) -> None:
    """Take steps up to `total`, going on from the state in `path` if its signature is this one.

    On a CPU the result is bit for bit that of an uninterrupted run. An interruption keeps the state if it falls between
    two steps, else the last one saved (every `SAVE_EVERY` seconds) is kept. The final state stays in `path`."""
    done = _load(search, path, signature) if path else 0
    saved, whole = time.monotonic(), True
    try:
        for step in range(done, total):
            if search.finished():
                break
            whole = False
            loss = search.step(step)
            done, whole = step + 1, True
            if path and time.monotonic() - saved > SAVE_EVERY:
                _save(search, path, signature, done)
                saved = time.monotonic()
            if progress:
                progress(done, loss)
    except KeyboardInterrupt:
        if path and whole:
            _save(search, path, signature, done)
        raise
    if path:
        _save(search, path, signature, total)


def _showing(search: CodeSearch, progress: Progress | None, preview: Preview) -> Progress:
    """Let a progress callback show the codes as well."""

    def report(step: int, loss: float) -> None:
        if progress:
            progress(step, loss)
        preview(step, search.ws_so_far())

    return report


def task_signature(task: Task, kind: str) -> str:
    """Return a SHA-256 (hex) of all that decides a search's outcome: generator, pictures, start and options."""
    about = {
        "format": STATE_FORMAT,
        "kind": kind,
        "generator": task.generator.meta.fingerprint,
        "perceptual": task.perceptual.name if task.perceptual else "",
        "identity": task.identity.name,
        "config": asdict(task.config),
        "tune": asdict(task.tune),
        "torch": torch.__version__,
    }
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    tensors: Iterable[Tensor | None] = (task.targets, task.start, task.masks, *(task.start_noise or {}).values())
    for tensor in tensors:
        digest.update(b"none" if tensor is None else str(list(tensor.shape)).encode())
        if tensor is not None:
            digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def pack_streams(streams: list[torch.Generator]) -> Tensor:
    """Return the states of random streams as one uint8 tensor [N, bytes]."""
    return torch.stack([stream.get_state() for stream in streams])


def unpack_streams(streams: list[torch.Generator], states: Tensor) -> None:
    """Bring random streams to the states that `pack_streams` returned."""
    for stream, state in zip(streams, states, strict=True):
        stream.set_state(state.clone())


def pack_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return an optimizer's moments by name."""
    states = optimizer.state_dict()["state"].items()
    return {f"adam.{index}.{key}": value for index, values in states for key, value in values.items()}


def unpack_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Bring an optimizer to the moments that `pack_optimizer` returned, which are among `tensors`."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("adam."):
            _, index, key = name.split(".")
            state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def _save(search: Resumable, path: Path, signature: str, done: int) -> None:
    tensors, facts = search.state()
    header = {"signature": signature, "done": str(done), "facts": json.dumps(facts)}
    write_safetensors(path, {name: tensor.detach().cpu() for name, tensor in tensors.items()}, header)


def _load(search: Resumable, path: Path, signature: str) -> int:
    """Restore the search from `path` if it holds this very task; return the steps already taken."""
    if not path.is_file():
        return 0
    try:
        tensors, header = read_safetensors(path)
        if header.get("signature") != signature:
            return 0
        search.restore(tensors, json.loads(header["facts"]))
        return int(header["done"])
    except (CheckpointError, KeyError, ValueError):
        return 0  # a damaged state costs the work it held, nothing else
