"""The commands of `batch`."""

import click

from invertigo.commands.declare import command
from invertigo.commands.groups import DefaultToRun
from invertigo.commands.shared_options import SIGN, OutPath, out_option
from stylegan_core.console import Console


@command("run")
@click.argument("photos", nargs=-1, required=True)
@click.option("--recipe", default="", help="TOML file of what to do; without it photos are inverted only")
@out_option("batch")
@click.option("--engine", default="local", show_default=True, type=click.Choice(["local", "ray"]))
@click.option("--workers", default=0, show_default=True, help="worker processes; 0: one a core")
@click.option("--batch-size", "size", default=8, show_default=True, help="photos that share one optimisation")
@click.option("--explain", is_flag=True, help="say what would be done, and do nothing")
@SIGN
def batch_run(photos: tuple[str, ...], recipe: str, out: str, engine: str, workers: int, size: int, explain: bool,
              sign: tuple[str, str] | None, console: Console) -> None:  # fmt: skip
    """Do RECIPE to every photo in PHOTOS: folders, files, globs, or lists (.txt).

    Run it again and it does only what is not done; stop it at any moment.

    \b
    Examples:
      invertigo batch photos --recipe recipe.toml --out done
      invertigo batch photos --recipe recipe.toml --out done --explain
    """
    from editing.early import check_photos, check_recipe

    check_recipe(recipe)
    check_photos(photos)
    from editing.batch import batch_files

    batch_files(photos, recipe, out, engine, workers, size, explain, console, sign)


@command("status")
@click.argument("out")
def batch_status(out: str, console: Console) -> None:
    """Count what is done in OUT and say why the rest failed.

    \b
    Examples:
      invertigo batch status done
      invertigo batch status done --quiet
    """
    from editing.early import check_batch

    check_batch(out)
    from editing.batch import batch_status as run

    run(out, console)


@command("retry")
@click.argument("out")
def batch_retry(out: str, console: Console) -> None:
    """Mark the failed photos of OUT for another go; then run the same batch command again.

    \b
    Examples:
      invertigo batch retry done
      invertigo batch retry done --debug
    """
    from editing.early import check_batch

    check_batch(out)
    from editing.batch import batch_retry as run

    run(out, console)


@command("export")
@click.argument("out")
@click.option("--csv", required=True, type=OutPath(), help="file to write")
def batch_export(out: str, csv: str, console: Console) -> None:
    """Write the manifest of OUT as a table.

    \b
    Examples:
      invertigo batch export done --csv done.csv
      invertigo batch export done --csv /tmp/table.csv
    """
    from editing.early import check_batch

    check_batch(out)
    from editing.batch import batch_export as run

    run(out, csv, console)


batch = DefaultToRun(
    "batch",
    [batch_run, batch_status, batch_retry, batch_export],
    "Run a recipe over folders of photos: batch [run] IN --recipe recipe.toml --out OUT.",
)
