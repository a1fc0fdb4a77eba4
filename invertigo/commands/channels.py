"""The commands of `channels`."""

import click

from invertigo.commands.declare import command
from invertigo.commands.groups import Family
from invertigo.commands.shared_options import DEVICE, GENERATOR
from stylegan_core.console import Console

TABLE = click.option("--table", default="", help="file of the table, NAME.npz; empty: where it is found from then on")


@command("fit")
@TABLE
@click.option("--samples", default=200, show_default=True, type=click.IntRange(1, 100_000), help="faces to look at")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="of the faces")
@GENERATOR
@DEVICE
def channels_fit(table: str, samples: int, seed: int, generator: str, device: str, console: Console) -> None:
    """Make the table of what each channel of style space moves; the same command goes on where it stopped.

    \b
    Examples:
      invertigo channels fit
      invertigo channels fit --generator my.safetensors --samples 400
    """
    from pathlib import Path

    from editing.discover.channels import fit_channels, own_file
    from stylegan_core.checkpoints.load import load_generator
    from stylegan_core.devices import fit_threads, pick_device

    loaded = load_generator(generator, pick_device(device))
    fit_threads(loaded.img_resolution)
    path = Path(table) if table else own_file(loaded)
    with console.progress("channels", samples) as progress:
        found = fit_channels(loaded, path, samples, seed, progress)
    console.say(f"{path}: {len(found.deviations)} channels, {found.samples} faces")


@command("show")
@TABLE
@click.option("--most", default=3, show_default=True, type=click.IntRange(1, 100), help="channels of each line")
@GENERATOR
def channels_show(table: str, most: int, generator: str, console: Console) -> None:
    """Say which channels move each trait most, in its units for a standard deviation of the channel.

    \b
    Examples:
      invertigo channels show
      invertigo channels show --most 10
    """
    from editing.discover.channels import channel_lines, found_table
    from inversion.faces.traits import TRAITS
    from stylegan_core.checkpoints.load import load_generator

    for line in channel_lines(found_table(load_generator(generator), table), TRAITS, most):
        console.say(line)


channels = Family(
    "channels",
    [channels_fit, channels_show],
    "What each channel of style space moves: make the table of a generator, look at it. Then: directions find.",
)
