"""The commands of `channels`."""

import click

from invertigo.commands.declare import command
from invertigo.commands.groups import Family
from invertigo.commands.shared_options import DEVICE, GENERATOR
from stylegan_core.console import Console
from stylegan_core.errors import ConfigError

TABLE = click.option("--table", default="", help="file of the table, NAME.npz; empty: where it is found from then on")


@command("fit")
@TABLE
@click.option("--samples", default=200, show_default=True, type=click.IntRange(1, 100_000), help="faces to look at")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="of the faces")
@click.option("--clip", default="", help="checkpoint of open_clip: make the table that `edit --text` needs instead")
@click.option(
    "--clip-model", default="", help="its architecture, as ViT-B-32; empty: told by the shapes, where it can be"
)
@GENERATOR
@DEVICE
def channels_fit(
    table: str, samples: int, seed: int, clip: str, clip_model: str, generator: str, device: str, console: Console
) -> None:
    """Make the table of what each channel of style space moves; the same command goes on where it stopped.

    \b
    Examples:
      invertigo channels fit
      invertigo channels fit --clip ViT-B-32.safetensors --clip-model ViT-B-32 --samples 50
    """
    from pathlib import Path

    if clip_model and not clip:
        raise ConfigError(f"--clip-model {clip_model} names the architecture of --clip, which is not given")
    if clip and not Path(clip).expanduser().is_file():
        raise ConfigError(f"--clip {clip}: no such file; give a local checkpoint of open_clip (nothing is fetched)")

    from editing.discover.channels import fit_channels, own_file
    from editing.discover.clip import load_clip
    from editing.discover.text_channels import fit_text_channels, own_text_file
    from stylegan_core.checkpoints.load import load_generator
    from stylegan_core.devices import fit_process, pick_device

    chosen = pick_device(device)
    seeing = load_clip(clip, clip_model).to(chosen) if clip else None
    loaded = load_generator(generator, chosen)
    fit_process(loaded.img_resolution)
    own = own_text_file(loaded, seeing) if seeing else own_file(loaded)
    path = Path(table) if table else own
    with console.progress("channels", samples) as progress:
        if seeing:
            text_table = fit_text_channels(loaded, seeing, clip, path, samples, seed, progress)
            num, faces = len(text_table.deviations), text_table.samples
        else:
            found = fit_channels(loaded, path, samples, seed, progress)
            num, faces = len(found.deviations), found.samples
    console.say(f"{path}: {num} channels, {faces} faces")


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
