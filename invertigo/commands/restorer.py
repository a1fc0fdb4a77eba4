"""The commands of `restorer`."""

import click

from inversion.config import RestorerConfig
from invertigo.commands.declare import command
from invertigo.commands.groups import Family
from invertigo.commands.shared_options import GENERATOR, OutPath
from stylegan_core.console import Console
from stylegan_core.options import options_from


@command("train")
@GENERATOR
@click.option("--out", default="restorer.safetensors", show_default=True, type=OutPath(), help="file to write")
@options_from(RestorerConfig, "config")
def restorer_train(out: str, generator: str, config: RestorerConfig, console: Console) -> None:
    """Train a restorer on sharp aligned faces; then: edit --restore OUT. It works with any generator.

    It brings detail back, or, with --what teeth, paints what parting lips show; the other stays the shipped one.

    \b
    Examples:
      invertigo restorer train --what teeth --data faces.zip --out teeth.safetensors
      invertigo restorer train --data faces.zip --out mine.safetensors
    """
    from stylegan_core.training.checks import check_data

    check_data(config.data)
    from inversion.train_restorer import train_restorer

    train_restorer(out, generator, config, console)


restorer = Family(
    "restorer",
    [restorer_train],
    "The network that brings detail back into a pasted face.",
)
