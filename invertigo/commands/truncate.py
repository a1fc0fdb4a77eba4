"""The command `truncate`."""

from typing import Any

import click

from invertigo.commands.declare import command
from invertigo.commands.editing import editing_options, ready, workshop
from invertigo.commands.shared_options import SIGN
from stylegan_core.console import Console


@command("truncate")
@click.argument("inputs", nargs=-1, required=True)
@click.option("--psi", default=0.7, show_default=True, help="w' = w_avg + psi * (w - w_avg)")
@click.option("--sweep", default="", help="also draw a strip of these psi, as -1,-0.5,0,0.5,1")
@click.option("--cutoff", type=int, help="number of layers that are pulled; all by default")
@SIGN
@editing_options
def truncate(inputs: tuple[str, ...], psi: float, sweep: str, cutoff: int | None, console: Console,
             **options: Any) -> None:  # fmt: skip
    """Pull INPUTS (latents or photos) towards the mean face.

    \b
    Examples:
      invertigo truncate photo.jpg --psi 0.8
      invertigo truncate a.npz --psi 0.5 --sweep -1,-0.5,0,0.5,1
    """
    if not (chosen := ready(inputs, [], console, options)):
        return
    from editing.films import truncate_sweep

    truncate_sweep(chosen, psi, sweep, cutoff, workshop(console, **options))
