"""The command `sample`."""

import click

from invertigo.commands.declare import command
from invertigo.commands.shared_options import OutPath
from stylegan_core.console import Console


@command("sample")
@click.argument("path", default="astronaut.png", type=OutPath())
def sample(path: str, console: Console) -> None:
    """Write a sample photo to PATH: NASA's portrait of Eileen Collins, in the public domain.

    \b
    Examples:
      invertigo sample
      invertigo sample me.png
    """
    from inversion.sample import write_sample

    console.say(f"{write_sample(path)}: written")
