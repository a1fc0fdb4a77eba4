"""The command `interpolate`."""

from typing import Any

import click

from editing.config import InterpolateConfig
from editing.operations.words import EditWords, edit_options
from invertigo.commands.declare import command
from invertigo.commands.editing import editing_options, ready, workshop
from invertigo.commands.shared_options import SIGN_BY_HELP_ALL
from stylegan_core.console import Console
from stylegan_core.errors import ConfigError
from stylegan_core.options import options_from


@command("interpolate")
@click.argument("inputs", nargs=-1, required=True)
@options_from(InterpolateConfig, "config")
@edit_options("words")
@editing_options
@SIGN_BY_HELP_ALL
def interpolate(inputs: tuple[str, ...], config: InterpolateConfig, words: EditWords, console: Console,
                **options: Any) -> None:  # fmt: skip
    """Make a video through INPUTS: latents, photos, or seed numbers, two or more; every frame is edited alike.

    \b
    Examples:
      invertigo interpolate a.npz b.npz --frames 48
      invertigo interpolate 3 7 11 --loop --format mp4
    """
    operations = words.operations()
    if len(inputs) < 2:
        raise ConfigError(f"{len(inputs)} code to interpolate; give two or more")
    if len(ready(inputs, operations, console, options, seeds=True)) < len(inputs):
        return
    from editing.films import interpolate_files

    interpolate_files(inputs, config, workshop(console, **options), operations)
