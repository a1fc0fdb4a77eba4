"""The methods of inversion by name."""

from collections.abc import Callable
from typing import Any

from inversion.encoder import find_encoder
from inversion.project import project_task
from inversion.reference import image2stylegan, reference
from inversion.task import Projection, Task
from inversion.tune import tune
from stylegan_core.errors import ConfigError

METHODS: dict[str, Callable[[Task], Projection]] = {
    "project": project_task,
    "hybrid": project_task,  # from an encoder's guess, in the coordinates of its curvature
    "tune": tune,
    "reference": reference,
    "image2stylegan": image2stylegan,
}
WITH_ENCODER = ("hybrid", "tune")  # start from an encoder's guess and know its curvature; tune does without as well


def choose_method(name: str, generator: Any, encoder: str = "") -> str:
    """Return the name of the method that `name` stands for, `auto` being `hybrid` where an encoder is known.

    Raises `ConfigError` for an unknown name, and for `hybrid` without an encoder."""
    if name == "auto":
        return "hybrid" if find_encoder(generator, encoder) else "project"
    if name not in METHODS:
        raise ConfigError(f"--method '{name}' is unknown; expected one of auto, {', '.join(METHODS)}")
    if name == "hybrid":
        need_encoder(generator, encoder)
    return name


def need_encoder(generator: Any, encoder: str = "") -> None:
    """Raise `ConfigError` where there is no encoder for a generator."""
    if find_encoder(generator, encoder) is None:
        raise ConfigError(
            f"no encoder for {generator.meta.name} is shipped; train one with `invertigo encoder train` and "
            "name it with --encoder, or use --method project"
        )
