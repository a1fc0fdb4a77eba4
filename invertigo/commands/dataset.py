"""The commands of `dataset`."""

import click

from invertigo.commands.declare import command
from invertigo.commands.groups import Family
from invertigo.commands.shared_options import OutPath
from stylegan_core.console import Console
from stylegan_core.options import options_from
from stylegan_core.training.config import DatasetConfig


@command("make")
@click.argument("source")
@click.argument("out", type=OutPath())
@options_from(DatasetConfig, "config")
def dataset_make(source: str, out: str, config: DatasetConfig, console: Console) -> None:
    """Crop the pictures of SOURCE (a folder or zip) into the new training set OUT, a zip; name what was left out.

    \b
    Examples:
      invertigo dataset make photos faces.zip --crop faces
      invertigo dataset make pictures squares.zip --resolution 64
    """
    from stylegan_core.training.checks import check_data

    check_data(source)
    from inversion.faces.crops import cropper_for
    from stylegan_core.training.prepare import make_dataset, report_lines

    report = make_dataset(source, out, config, cropper_for(config))
    for line in (*report_lines(report, f"written to {out}"), *(f"left out {n}: {why}" for n, why in report.rejects)):
        console.say(line)


@command("inspect")
@click.argument("path")
def dataset_inspect(path: str, console: Console) -> None:
    """Decode every image of a training set and name what a run would stumble over; exit code 1 if there is any.

    \b
    Examples:
      invertigo dataset inspect faces.zip
      invertigo dataset inspect pictures
    """
    from stylegan_core.training.checks import check_data

    check_data(path)
    from stylegan_core.training.prepare import inspect_dataset, report_lines

    report = inspect_dataset(path)
    for line in report_lines(report, "read"):
        console.say(line)
    for name, reason in report.rejects:
        console.error(reason if name in reason else f"{name}: {reason}")


dataset = Family(
    "dataset",
    [dataset_make, dataset_inspect],
    "Training sets: make one of a folder of pictures, look one over.",
)
