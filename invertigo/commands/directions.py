"""The commands of `directions`."""

import click

from editing.config import BoundaryConfig, ComponentConfig, FinishConfig, FitSource, ImportConfig, PairsConfig
from inversion.config import InvertConfig
from invertigo.commands.declare import command
from invertigo.commands.groups import Family
from invertigo.commands.shared_options import GENERATOR, OutPath
from stylegan_core.console import Console
from stylegan_core.options import options_from

NAME = click.option("--name", required=True, help="name of the direction")
OUT = click.option("--out", required=True, type=OutPath(), help="file to write, NAME.npz")


@command("list")
@GENERATOR
def directions_list(generator: str, console: Console) -> None:
    """List the directions shipped for a generator.

    \b
    Examples:
      invertigo directions list
      invertigo directions list --generator faces64
    """
    from stylegan_core.catalogue import list_directions

    for line in list_directions(generator):
        console.say(line)


@command("show")
@click.argument("name")
@GENERATOR
def directions_show(name: str, generator: str, console: Console) -> None:
    """Say everything a direction (a shipped name, or a file) knows of itself.

    \b
    Examples:
      invertigo directions show smile
      invertigo directions show mine.npz
    """
    from stylegan_core.catalogue import check_direction_name

    check_direction_name(name, generator)
    from stylegan_core.directions import show_direction

    console.say(show_direction(name, generator))


@command("fit")
@NAME
@OUT
@options_from(FitSource, "source")
@options_from(FinishConfig, "finish")
@options_from(PairsConfig, "pairs_config")
@options_from(BoundaryConfig, "boundary")
@options_from(InvertConfig, "invert")
def directions_fit(name: str, out: str, source: FitSource, finish: FinishConfig, pairs_config: PairsConfig,
                   boundary: BoundaryConfig, invert: InvertConfig, console: Console) -> None:  # fmt: skip
    """Fit a direction: to pairs of photos, to labelled codes, or to what a judge says of the generator's faces.

    \b
    Examples:
      invertigo directions fit --name glasses --labels glasses.csv --out glasses.npz
      invertigo directions fit --name grin --pairs pairs.csv --out grin.npz
    """
    from editing.discover.fit import fit_direction

    fit_direction(out, name, source, pairs_config, boundary, finish, invert, console)


@command("factor")
@click.argument("method", type=click.Choice(["sefa", "ganspace"]))
@NAME
@OUT
@options_from(ComponentConfig, "config")
@GENERATOR
def directions_factor(method: str, name: str, out: str, config: ComponentConfig, generator: str,
                      console: Console) -> None:  # fmt: skip
    """Take a component of the modulation weights (sefa) or of W (ganspace) as a direction.

    \b
    Examples:
      invertigo directions factor sefa --name first --out first.npz
      invertigo directions factor ganspace --component 3 --name light --out light.npz
    """
    from editing.discover.fit import fit_component

    fit_component(out, name, method, generator, config, console)


@command("import")
@click.argument("file")
@NAME
@OUT
@options_from(ImportConfig, "config")
@GENERATOR
def directions_import(file: str, name: str, out: str, config: ImportConfig, generator: str,
                      console: Console) -> None:  # fmt: skip
    """Import another tool's direction: InterFaceGAN, Puzer .npy; e4e, PTI, ffhq_pca, rosinality .pt; GANSpace .npz.

    \b
    Examples:
      invertigo directions import age.npy --name age --out age.npz --generator ffhq.pkl
      invertigo directions import ffhq_pca.pt --component 47 --name pose --out pose.npz --generator ffhq.pt
    """
    from editing.discover.foreign import import_direction

    import_direction(file, name, out, generator, config, console)


@command("find")
@click.option("--moves", required=True, help="trait that moves, as mouth-open; -mouth-open: less of it")
@click.option("--spares", default="identity,yaw", show_default=True, help="traits that stay, separated by commas")
@click.option("--channels", default=8, show_default=True, type=click.IntRange(1, 256), help="how many move")
@click.option("--table", default="", help="file of `channels fit`; empty: where that left it")
@NAME
@OUT
@GENERATOR
def directions_find(moves: str, spares: str, channels: int, table: str, name: str, out: str, generator: str,
                    console: Console) -> None:  # fmt: skip
    """Find the few channels of style space that move one trait and spare others (after `channels fit`).

    \b
    Examples:
      invertigo directions find --moves mouth-open --name open --out open.npz
      invertigo directions find --moves age --spares identity,happy,light --name older --out older.npz
    """
    from editing.discover.find_channels import find_direction_of_channels

    find_direction_of_channels(out, name, moves, spares, channels, generator, table, console)


directions = Family(
    "directions",
    [directions_list, directions_show, directions_fit, directions_find, directions_factor, directions_import],
    "Directions of editing: list what is shipped; fit, find, factor or import your own.",
)
