"""The commands of `encoder`."""

import click

from inversion.config import CotrainConfig, EncoderConfig
from invertigo.commands.declare import command
from invertigo.commands.groups import Family
from invertigo.commands.shared_options import DEVICE, GENERATOR, OutPath, out_option
from stylegan_core.assets import DEFAULT_GENERATOR
from stylegan_core.console import Console
from stylegan_core.options import options_from


@command("train")
@click.option("--out", required=True, type=OutPath(), help="file to write, NAME.safetensors")
@GENERATOR
@click.option("--perceptual", default="auto", show_default=True, help="perceptual features, as those of `invert`")
@DEVICE
@options_from(EncoderConfig, "config")
def encoder_train(out: str, generator: str, perceptual: str, device: str, config: EncoderConfig,
                  console: Console) -> None:  # fmt: skip
    """Train an encoder on images and the generator's own samples; then: invert --method hybrid --encoder OUT.

    \b
    Examples:
      invertigo encoder train --out mine.safetensors --generator my.safetensors
      invertigo encoder train --out mine.safetensors --data faces.zip --steps 4000
    """
    from stylegan_core.training.checks import check_data

    if config.data:
        check_data(config.data)
    from inversion.train_encoder import train_encoder

    train_encoder(out, generator, perceptual, device, config, console)


@command("cotrain")
@out_option("runs/cotrain")
@click.option("--init", default=DEFAULT_GENERATOR, show_default=True, help="generator with an encoder, to start from")
@DEVICE
@options_from(CotrainConfig, "config")
def encoder_cotrain(out: str, init: str, device: str, config: CotrainConfig, console: Console) -> None:
    """Train a generator of twice the resolution and its encoder together, on real faces.

    \b
    Examples:
      invertigo encoder cotrain --out runs/mine --data faces.zip
      invertigo encoder cotrain --out runs/mine --data faces.zip,more.zip --init my.safetensors
    """
    from editing.early import check_checkpoint
    from stylegan_core.training.checks import check_data

    check_checkpoint(init)
    for part in config.data.split(","):
        check_data(part.strip())
    from inversion.cotrain import cotrain

    cotrain(out, init, device, config, console)


encoder = Family(
    "encoder",
    [encoder_train, encoder_cotrain],
    "Encoders, which guess a code from a face: train one for a generator.",
)
