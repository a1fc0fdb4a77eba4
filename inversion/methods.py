"""The methods of inversion by name."""

from collections.abc import Callable

from inversion.project import project_task
from inversion.reference import image2stylegan, reference
from inversion.task import Projection, Task
from inversion.tune import tune

METHODS: dict[str, Callable[[Task], Projection]] = {
    "project": project_task,
    "hybrid": project_task,  # from an encoder's guess, which `Inverter` insists on
    "tune": tune,
    "reference": reference,
    "image2stylegan": image2stylegan,
}
