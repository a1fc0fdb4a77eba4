"""Options that several commands have."""

from collections.abc import Callable
from typing import Any

import click

from stylegan_core.assets import DEFAULT_GENERATOR
from stylegan_core.device_names import check_device
from stylegan_core.errors import ConfigError
from stylegan_core.files import place_problem
from stylegan_core.grouped_help import GroupedOption

SETTING = ("generator", "encoder", "perceptual", "device")  # of `invert`'s options, where method and faces are given


def _device(context: click.Context, parameter: click.Parameter, value: str) -> str:
    """Refuse an unknown device before anything is imported."""
    try:
        check_device(value)
    except ConfigError as error:
        raise click.BadParameter(str(error), context, parameter) from error
    return value


def _generator(context: click.Context, parameter: click.Parameter, value: str) -> str:
    """Refuse a generator that is not there before anything is imported."""
    from editing.early import generator_problem

    if problem := generator_problem(value):
        raise click.BadParameter(problem, context, parameter)
    return value


DEVICE = click.option("--device", default="auto", show_default=True, callback=_device, help="auto, cpu, cuda or mps")
GENERATOR = click.option(
    "--generator",
    default=DEFAULT_GENERATOR,
    callback=_generator,
    show_default=True,
    help="file, https URL, hf:OWNER/REPO/FILE[@REVISION], or name (shipped, or of `models list`)",
)
SIGNING: dict[str, Any] = {
    "nargs": 2,
    "metavar": "CERT KEY",
    "default": None,
    "help": "sign what is made with what was done (C2PA): PEM certificate chain and private key",
}
SIGN = click.option("--sign", **SIGNING)
SIGN_BY_HELP_ALL = click.option("--sign", cls=GroupedOption, **SIGNING)


class OutPath(click.ParamType):
    """A file or folder to write: refused before anything is computed where it cannot be written."""

    def __init__(self, folder: bool = False) -> None:
        self.folder = folder
        self.name = "folder" if folder else "file"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the path as it was given; raises `click.BadParameter`."""
        if value and (problem := place_problem(value, self.folder)):
            self.fail(problem, param, ctx)
        return value


def out_option(default: str) -> Callable[..., Any]:
    """The folder to write into."""
    return click.option(
        "--out", default=default, show_default=True, help="folder to write into", cls=GroupedOption, group="Where to",
        everyday=True, type=OutPath(folder=True),
    )  # fmt: skip
