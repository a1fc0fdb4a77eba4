"""The commands of `dials`."""

import click

from invertigo.commands.declare import command
from invertigo.commands.groups import Family
from invertigo.commands.shared_options import DEVICE, GENERATOR, OutPath
from stylegan_core.console import Console


@command("list")
@GENERATOR
def dials_list(generator: str, console: Console) -> None:
    """Say what can be set, in which units, and from where to where this generator goes.

    \b
    Examples:
      invertigo dials list
      invertigo dials list --generator faces64
    """
    from editing.dials import find_dials, range_lines
    from stylegan_core.checkpoints.load import load_generator

    for line in range_lines(find_dials(load_generator(generator))):
        console.say(line)


@command("fit")
@click.option(
    "--out", default="", type=OutPath(), help="file to write, NAME.npz; empty: the place where they are found"
)
@click.option("--samples", default=1000, show_default=True, type=click.IntRange(32, 100_000), help="faces to fit to")
@click.option("--channels", default="", help="table of `channels fit`; empty: where that left it, if it did")
@click.option(
    "--reached", default=8, show_default=True, type=click.IntRange(0, 1000),
    help="other faces on which it is tried how far they reach; 0: ranges are those of the samples",
)  # fmt: skip
@GENERATOR
@DEVICE
def dials_fit(
    out: str, samples: int, channels: str, reached: int, generator: str, device: str, console: Console
) -> None:
    """Fit the dials to a generator's own samples, and see from where to where they go.

    After `channels fit`, each also gets a few channels of style space, which reach further before the person changes.

    \b
    Examples:
      invertigo dials fit --generator my.safetensors
      invertigo dials fit --generator my.safetensors --samples 4000 --out my-dials.npz
    """
    from pathlib import Path

    from editing.dials import fit_dials, own_file, range_lines, save_dials
    from editing.discover.channels import found_table
    from editing.discover.channels import own_file as own_channels
    from editing.discover.dial_channels import reached_ranges, with_channels
    from stylegan_core.checkpoints.load import load_generator
    from stylegan_core.devices import pick_device

    loaded = load_generator(generator, pick_device(device))
    few = found_table(loaded, channels) if channels or own_channels(loaded).is_file() else None
    table, path = fit_dials(loaded, samples), Path(out) if out else own_file(loaded)
    table = with_channels(loaded, table, few) if few else table
    if reached:
        with console.progress("ranges", 2 * len(table.names) * reached) as progress:
            table = reached_ranges(loaded, table, reached, progress)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_dials(path, table)
    for line in (*range_lines(table), f"{path}: written"):
        console.say(line)


dials = Family(
    "dials",
    [dials_list, dials_fit],
    "What `edit --set` sets on a face: list it, with the ranges that a generator has; fit them to one.",
)
