"""The methods of inversion, and all that is known of each; torch is imported only when one searches."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inversion.task import Projection, Task

USUAL_STEPS = 200


def _project(task: "Task") -> "Projection":
    from inversion.project import project_task

    return project_task(task)


def _guess(task: "Task") -> "Projection":
    from dataclasses import replace

    from inversion.project import project_task

    return project_task(replace(task, config=replace(task.config, steps=0)))


def _tune(task: "Task") -> "Projection":
    from inversion.tune import tune

    return tune(task)


def _reference(task: "Task") -> "Projection":
    from inversion.reference import reference

    return reference(task)


def _image2stylegan(task: "Task") -> "Projection":
    from inversion.reference import image2stylegan

    return image2stylegan(task)


@dataclass(frozen=True)
class Method:
    """A way to find codes."""

    name: str
    search: Callable[["Task"], "Projection"]
    steps: int = USUAL_STEPS  # of the search, where none are asked for
    space: str = ""  # of the codes, where the method's description fixes it; empty: that of --space
    uses_encoder: bool = False  # starts from an encoder's guess and knows its curvature, where there is an encoder
    needs_encoder: bool = False  # is nothing without


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method("project", _project),
        Method("hybrid", _project, steps=50, uses_encoder=True, needs_encoder=True),
        Method("guess", _guess, uses_encoder=True),  # no search; `choose_method` gives it to generators with an encoder
        Method("tune", _tune, uses_encoder=True),
        Method("reference", _reference, steps=1000, space="w"),
        Method("image2stylegan", _image2stylegan, steps=5000, space="w+"),
    )
}
METHOD_NAMES = ("auto", *METHODS)


def default_steps(name: str) -> int:
    """Return the steps of a method where none are asked for; `auto` takes the usual ones, whatever it turns out as."""
    return METHODS[name].steps if name in METHODS else USUAL_STEPS
