"""The methods of inversion, and all that is known of each; torch is imported only when one searches."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inversion.config import ProjectionConfig
    from inversion.task import Projection, Task
    from stylegan_core.networks.protocol import Generator

USUAL_STEPS = 200
CORRECTING_STEPS = 50  # of a correction of features, and no more than twice those of the code
WORTH_CORRECTING = 20  # steps of the code; who asks for fewer wants a quick look, and no correction after it


def _project(task: "Task") -> "Projection":
    from inversion.project import project_task

    return project_task(task)


def _guess(task: "Task") -> "Projection":
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
    run: Callable[["Task"], "Projection"]
    steps: int = USUAL_STEPS  # of the search, where none are asked for
    steps_before_f: int = USUAL_STEPS  # the same where features are corrected after it, which mends what is left
    space: str = ""  # of the codes, where the method's description fixes it; empty: that of --space
    corrects: bool = False  # takes on corrected features where --space leaves it to the method
    uses_encoder: bool = False  # starts from an encoder's guess and knows its curvature, where there is an encoder
    needs_encoder: bool = False  # is nothing without

    def search(self, task: "Task") -> "Projection":
        """Search with the options that the task gives, and the method's own where it gives none."""
        return self.run(replace(task, config=settle(task.config, self.name, task.generator)))


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method("project", _project, corrects=True),
        Method("hybrid", _project, steps=50, steps_before_f=25, corrects=True, uses_encoder=True, needs_encoder=True),
        Method("guess", _guess, uses_encoder=True),  # no search; `choose_method` gives it to generators with an encoder
        Method("tune", _tune, steps=100, uses_encoder=True),
        Method("reference", _reference, steps=1000, space="w"),
        Method("image2stylegan", _image2stylegan, steps=5000, space="w+"),
    )
}
METHOD_NAMES = ("auto", *METHODS)


def settle(config: "ProjectionConfig", method: str, generator: "Generator") -> "ProjectionConfig":
    """Return the options with what they leave to the method: its steps, its space, and the steps of a correction.

    `auto` is the method's own space, else f where the method corrects features, the generator shows some, and the steps
    are at least `WORTH_CORRECTING`, else w+."""
    found = METHODS[method]
    shows = found.corrects and bool(getattr(generator, "feature_layers", {}))
    enough = not 0 <= config.steps < WORTH_CORRECTING
    usual = found.space or ("f" if shows and enough else "w+")
    space = usual if config.space == "auto" else config.space
    own = found.steps_before_f if space == "f" else found.steps
    steps = config.steps if config.steps >= 0 else own
    f_steps = config.f_steps if config.f_steps >= 0 else min(2 * steps, CORRECTING_STEPS)
    return replace(config, steps=steps, space=space, f_steps=f_steps)
