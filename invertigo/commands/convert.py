"""The command `convert`."""

import click

from invertigo.commands.declare import command
from invertigo.commands.shared_options import OutPath
from stylegan_core.console import Console


@command("convert")
@click.argument("source")
@click.argument("target", type=OutPath())
@click.option(
    "--format",
    "form",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "native", "rosinality", "ada"]),
    help="auto: ours for .safetensors, rosinality's for .pt; ada: a plain state dict with NVIDIA's names",
)
@click.option("--half", is_flag=True, help="store our format in 16 bit")
def convert(source: str, target: str, form: str, half: bool, console: Console) -> None:
    """Write the checkpoint SOURCE, of any format, to TARGET.

    \b
    Examples:
      invertigo convert ffhq.pkl ffhq.safetensors
      invertigo convert faces64 faces64.pt --format rosinality
    """
    from editing.early import check_checkpoint

    check_checkpoint(source)
    from stylegan_core.checkpoints.convert import convert as run

    console.say(f"{target}: written ({run(source, target, form, half)})")
