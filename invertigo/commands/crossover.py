"""The command `crossover`."""

from typing import Any

import click

from invertigo.commands.declare import command
from invertigo.commands.editing import editing_options, quick, ready, workshop
from invertigo.commands.shared_options import SIGN
from stylegan_core.console import Console


@command("crossover")
@click.argument("first")
@click.argument("second")
@click.option(
    "--layers", "cuts", multiple=True, default=["coarse"], show_default=True,
    help="layers of SECOND: coarse, middle, fine, 4-7, or 0-2,6; repeat for a strip of several cuts",
)  # fmt: skip
@SIGN
@editing_options
def crossover(first: str, second: str, cuts: tuple[str, ...], console: Console, **options: Any) -> None:
    """Give FIRST (a latent or photo) some layers of SECOND.

    \b
    Examples:
      invertigo crossover photo.jpg other.jpg --layers fine
      invertigo crossover a.npz b.npz --layers coarse --layers middle --paste none
    """
    from editing.operations.crossover import Crossover

    if not ready([first], [Crossover(second, cut) for cut in cuts], console, options):
        return
    from editing.films import crossover_cuts

    options["invert"] = quick(options["invert"])
    crossover_cuts(first, second, cuts, workshop(console, **options))
