"""A search at half the generator's size, for codes that are only the start of what comes after."""

from dataclasses import replace

from torch.nn import functional as F

from inversion.codes import check_task
from inversion.task import Task
from stylegan_core.networks.lower import at_resolution, drawn_resolutions

SMALLEST = 128  # pixels, below which halves are not worth their blur


def at_half_size(task: Task) -> Task:
    """Return the task for the generator's lower layers alone, a third of the work, where they draw half its size.

    The codes of the layers left out stay where they start. A pixel of the half is visible where all four of it are, so
    that what a mask hides has no say. A small generator, one with noise inputs, or one without images between keeps its
    size."""
    check_task(task)
    generator, half = task.generator, task.generator.img_resolution // 2
    if half < SMALLEST or generator.noise or half not in drawn_resolutions(generator):
        return task
    targets = F.interpolate(task.targets, scale_factor=0.5, mode="area")
    masks = None if task.masks is None else -F.max_pool2d(-task.masks, 2)
    return replace(task, generator=at_resolution(generator, half), targets=targets, masks=masks)
