"""What passes between the runner, its engines and a pipeline."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

WORK = ".work"  # below the output folder: items are written there, then moved to their place


@dataclass(frozen=True)
class Item:
    """One photo of a run."""

    id: int
    path: str  # as os.fsdecode gives it: surrogates stand for bytes that are no UTF-8
    name: str  # of its folder in the output, unique
    outputs: dict[str, str] = field(default_factory=dict)  # files below that folder from an earlier time, and SHA-256
    made_with: str = ""  # the pipeline's key at that time
    photo_sha256: str = ""  # of the photo at that time


@dataclass(frozen=True)
class Result:
    """What became of one photo."""

    item_id: int
    error: str = ""  # one sentence; empty where it was done
    traceback: str = ""
    seconds: float = 0.0
    metrics: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)  # path below the item's folder -> SHA-256
    photo_sha256: str = ""

    @property
    def done(self) -> bool:
        return not self.error


Process = Callable[[Sequence[Item], Path], list[Result]]


class Pipeline(Protocol):
    """What is done to every photo. It is pickled into the workers, so it holds options, not models."""

    @property
    def key(self) -> str:
        """A digest of everything the outputs depend on beside the photo: options and weights."""

    def open(self) -> Process:
        """Load the models, once a worker; return the function that does a chunk of photos.

        `process(items, out)` writes each item's files into `out / item.name` and returns a result for each."""
