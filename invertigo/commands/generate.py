"""The command `generate`."""

import click

from invertigo.commands.declare import command
from invertigo.commands.shared_options import DEVICE, GENERATOR, out_option
from stylegan_core.console import Console


@command("generate")
@click.option("--seeds", default="0-15", show_default=True, help="as 0-15,20")
@click.option("--psi", default=1.0, show_default=True, help="truncation: 1 is none, 0 the mean face")
@click.option("--class", "label", type=int, help="class of a conditional generator")
@out_option("generated")
@GENERATOR
@DEVICE
def generate(seeds: str, psi: float, label: int | None, out: str, generator: str, device: str,
             console: Console) -> None:  # fmt: skip
    """Make faces from seeds.

    \b
    Examples:
      invertigo generate --seeds 0-15
      invertigo generate --seeds 3,7 --psi 0.7 --generator ffhq.pkl
    """
    from stylegan_core.seed_numbers import parse_seeds

    parse_seeds(seeds)
    from editing.sheets import generate_files

    generate_files(seeds, out, generator, psi, label, device, console)
