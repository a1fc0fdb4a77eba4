"""The command `sample-data`."""

import click

from invertigo.commands.declare import command
from invertigo.commands.shared_options import OutPath
from stylegan_core.console import Console


@command("sample-data")
@click.argument("kind", type=click.Choice(["ring", "digits", "shapes"]))
@click.option("--out", default=None, type=OutPath(), help="zip to write; KIND.zip by default")
@click.option("--resolution", default=32, show_default=True, help="pixels a side")
@click.option("--num", default=2000, show_default=True, help="images (of digits there are 1,797)")
@click.option("--seed", default=0, show_default=True, help="of what is drawn")
def sample_data(kind: str, out: str | None, resolution: int, num: int, seed: int, console: Console) -> None:
    """Write a labelled training set that needs no download: a ring of 8 modes, handwritten digits, coloured shapes.

    \b
    Examples:
      invertigo sample-data shapes
      invertigo sample-data digits --out digits.zip --resolution 16
    """
    from stylegan_core.training.sample_data import write_sample_data

    target = out or f"{kind}.zip"
    console.say(f"{target}: {write_sample_data(kind, target, resolution, num, seed)} images written")
