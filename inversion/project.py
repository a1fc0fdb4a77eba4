"""Recover codes by optimisation, in W+, W, Z, or W+ with corrected features: what `project` and `hybrid` do."""

from dataclasses import replace

from torch import Tensor

from inversion.codes import search_codes
from inversion.config import ProjectionConfig
from inversion.correction import choose_layer
from inversion.features import Correcting
from inversion.half_size import at_half_size
from inversion.methods import settle
from inversion.state import run_search
from inversion.task import Progress, Projection, Task, after, beside
from stylegan_core.features.perceptual import PerceptualDistance
from stylegan_core.networks.protocol import Generator


def project(
    generator: Generator,
    targets: Tensor,
    perceptual: PerceptualDistance | None,
    config: ProjectionConfig = ProjectionConfig(),
    start: Tensor | None = None,
    start_noise: dict[str, Tensor] | None = None,
    progress: Progress | None = None,
) -> Projection:
    """Optimise codes of `targets` [N, C, R, R] in [-1, 1], starting from w_avg or from `start` [N, num_ws, w_dim].

    Each target has its own jitter, early stop and best step, so the result does not depend on its neighbours in the
    batch (within float error). `perceptual=None` leaves the perceptual term out. The rendered code with the lowest
    objective so far is kept; `steps=0` returns the starting code. `progress(step, mean loss)` is called every step."""
    return project_task(Task(generator, targets, perceptual, config, start, start_noise, progress=progress))


def project_task(task: Task) -> Projection:
    """Do what `project` does, with masks and a state file where the task has them."""
    task = replace(task, config=settle(task.config, "project", task.generator))
    return project_features(task) if task.config.space == "f" else search_codes(task)


def project_features(task: Task) -> Projection:
    """Search for codes in W+, then for the features' corrections around them, which mend what the codes leave."""
    choose_layer(task.generator, task.config.f_side)  # a generator without one is refused before any work
    files = [beside(task, part) for part in ("codes", "features")]
    found = search_codes(replace(at_half_size(task), state_file=files[0], keep_state=True))
    rest = replace(
        task, start=found.ws, progress=after(task.progress, task.config.steps), state_file=files[1], keep_state=True
    )
    search = Correcting(rest, found.ws, found.noise)
    run_search(search, rest, task.config.f_steps, "features")
    found.corrections.extend(search.corrections())
    for row, history in enumerate(search.history):
        found.history[row] |= {f"f_{name}": values for name, values in history.items()}
    for file in files:
        if file:
            file.unlink(missing_ok=True)
    return found
