"""What an inversion method is given, and what it gives back."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from inversion.config import ProjectionConfig, TuneConfig
from inversion.correction import Correction
from inversion.delta import Delta
from inversion.faces.identity import SHIPPED, Identity
from stylegan_core.features.perceptual import PerceptualDistance
from stylegan_core.networks.protocol import Generator

Progress = Callable[[int, float], None]
Preview = Callable[[int, Tensor], None]


@dataclass(frozen=True)
class Task:
    """Targets and how to search for their codes."""

    generator: Generator
    targets: Tensor  # [N, C, R, R] in [-1, 1]
    perceptual: PerceptualDistance | None = None  # None leaves the perceptual term out
    config: ProjectionConfig = ProjectionConfig()
    start: Tensor | None = None  # [N, num_ws, w_dim]; None: w_avg
    start_noise: dict[str, Tensor] | None = None  # noise inputs [H, W] by layer; None: the generator's
    masks: Tensor | None = None  # [N, 1, R, R] in [0, 1], 1 where the target is visible; None: everywhere
    progress: Progress | None = None  # called with (steps done, mean loss)
    preview: Preview | None = None  # called with (steps done, codes so far [N, num_ws, w_dim])
    state_file: Path | None = None  # where an interrupted run leaves its state, and finds it again
    keep_state: bool = False  # keep the state file at the end too, for the caller to remove
    tune: TuneConfig = TuneConfig()
    curvature: dict[str, Tensor] | None = None  # of the loss over W+ (inversion/curvature.py); None: it is not known
    identity: Identity = SHIPPED  # who a face is, for the identity term


@dataclass
class Projection:
    """The codes found for N targets."""

    ws: Tensor  # [N, num_ws, w_dim]
    noise: dict[str, Tensor]  # noise inputs [N, 1, H, W] by layer; empty where none were optimised
    loss: Tensor  # [N]: the whole objective of the code that was kept
    best_step: list[int]  # the step whose code was kept
    num_steps: list[int]  # steps taken by each
    history: list[dict[str, list[float]]] = field(default_factory=list)  # a target: term -> value a step
    z: Tensor | None = None  # [N, z_dim] where the search was in Z
    deltas: list[Delta] = field(default_factory=list)  # what was added to the generator's weights, a target
    corrections: list[Correction] = field(default_factory=list)  # what is added to the features of a layer, a target


def after(progress: Progress | None, done: int) -> Progress | None:
    """Let a progress callback count on from `done` steps."""
    return (lambda step, loss: progress(done + step, loss)) if progress else None


def beside(task: Task, part: str) -> Path | None:
    """Return the state file of a part of a task."""
    return task.state_file.with_name(f"{task.state_file.name}.{part}") if task.state_file else None
