"""What the commands share that edit latents or photos: their options, early refusals, and what they load."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import click

from editing.config import EditConfig
from editing.operations.base import Operation
from inversion.config import InvertConfig, ProjectionConfig
from invertigo.commands.shared_options import out_option
from stylegan_core.console import Console
from stylegan_core.options import options_from

CODES = "codes"  # in the output folder: inversions of the photos that an edit names


def editing_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of the commands that take latents or photos and write edited photos."""
    for decorate in (
        options_from(ProjectionConfig, "projection"),
        options_from(InvertConfig, "invert"),
        options_from(EditConfig, "edit"),
        out_option("edited"),
    ):
        command = decorate(command)
    return command


def quick(invert: InvertConfig) -> InvertConfig:
    """Let an edit of a photo do without a search, unless the command line asks for one by method, steps or space.

    The photo's own pixels are moved, by what the edit does to the encoder's code; nothing else of a code is seen."""
    source, default = click.get_current_context().get_parameter_source, click.core.ParameterSource.DEFAULT
    asked = any(source(name) is not default for name in ("method", "steps", "space"))
    return invert if asked else replace(invert, method="guess")


def ready(
    inputs: Sequence[str],
    operations: Sequence[Operation],
    console: Console,
    options: dict[str, Any],
    seeds: bool = False,
) -> list[str]:
    """Refuse what can be refused before torch is imported; return the inputs that can be used.

    `seeds` tells that inputs may be numbers of seeds. Sets the generator in `options` to the one that latents and
    directions were made with, where none is named."""
    from editing.early import check_setting, check_stray_words, code_problem, own_generator, usable

    options["invert"] = own_generator(inputs, operations, options["invert"])
    check_setting(options["invert"], options["edit"].photo)
    if not seeds:
        check_stray_words(inputs, operations, options["invert"].generator)
    for operation in operations:
        operation.check(options["invert"].generator)
    return usable(inputs, console, code_problem)


def workshop(console: Console, out: str, edit: EditConfig, invert: InvertConfig, projection: ProjectionConfig,
             sign: tuple[str, str] | None = None) -> Any:  # fmt: skip
    """Load what every editing command needs."""
    from pathlib import Path

    from editing.edit import Workshop
    from inversion.invert import Inverter
    from stylegan_core.credentials import load_signature
    from stylegan_core.devices import fit_process

    signature = load_signature(*sign) if sign else None
    inverter = Inverter(invert, projection)
    fit_process(inverter.generator.img_resolution)
    return Workshop(inverter, edit, Path(out), console, Path(out) / CODES, signature=signature)
