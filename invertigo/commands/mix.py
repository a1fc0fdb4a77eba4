"""The command `mix`."""

import click

from invertigo.commands.declare import command
from invertigo.commands.shared_options import DEVICE, GENERATOR, out_option
from stylegan_core.console import Console
from stylegan_core.errors import ConfigError


@command("mix")
@click.option("--row", "rows", multiple=True, help="a latent.npz or a seed; repeat")
@click.option("--column", "columns", multiple=True, help="a latent.npz or a seed; repeat")
@click.option("--layers", default="middle", show_default=True, help="layers of the column: coarse, middle, fine, 4-7")
@out_option("mixed")
@GENERATOR
@DEVICE
def mix(rows: tuple[str, ...], columns: tuple[str, ...], layers: str, out: str, generator: str, device: str,
        console: Console) -> None:  # fmt: skip
    """Draw a style-mixing grid of latents and seeds.

    \b
    Examples:
      invertigo mix --row 1 --row 2 --column 3 --column 4
      invertigo mix --row a.npz --column 7 --layers coarse
    """
    from editing.early import code_problem

    for text in (*rows, *columns):
        if reason := code_problem(text):
            raise ConfigError(reason)
    from editing.sheets import mix_files

    mix_files(rows, columns, layers, out, generator, device, console)
