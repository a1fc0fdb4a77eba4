"""A search at half the generator's size, for codes that are only the start of what comes after."""

from dataclasses import replace

from torch import Tensor
from torch.nn import functional as F

from inversion.codes import check_task
from inversion.task import Task
from stylegan_core.networks.lower import at_resolution, drawn_resolutions
from stylegan_core.networks.protocol import Generator

SMALLEST = 128  # pixels, below which halves are not worth their blur


def half_of(generator: Generator) -> Generator:
    """Return the generator's lower layers, which draw half its size in a third of the time, where they draw that.

    A small generator, one with noise inputs, or one without images between is returned as it is."""
    half = generator.img_resolution // 2
    draws = half >= SMALLEST and not generator.noise and half in drawn_resolutions(generator)
    return at_resolution(generator, half) if draws else generator


def at_half_size(task: Task) -> Task:
    """Return the task for the lower layers alone; the codes of the layers left out stay where they start.

    A pixel of the half is visible where all four of it are, so that what a mask hides has no say."""
    check_task(task)
    generator = half_of(task.generator)
    if generator is task.generator:
        return task
    masks = None if task.masks is None else -F.max_pool2d(-task.masks, 2)
    return replace(task, generator=generator, targets=halved(task.targets), masks=masks)


def halved(images: Tensor) -> Tensor:
    """Return images [N, C, R, R] as [N, C, R / 2, R / 2], each pixel the mean of four."""
    return F.avg_pool2d(images, 2)
