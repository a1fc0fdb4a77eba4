"""The commands of `human-eval`."""

import click

from editing.config import StudioConfig
from invertigo.commands.declare import command
from invertigo.commands.groups import DefaultToRun
from stylegan_core.console import Console
from stylegan_core.metrics.human import HumanConfig
from stylegan_core.options import options_from


@command("run")
@click.argument("real")
@click.argument("generated")
@options_from(HumanConfig, "config")
@options_from(StudioConfig, "page", only=("host", "port", "browser", "share"))
def run(real: str, generated: str, config: HumanConfig, page: StudioConfig, console: Console) -> None:
    """Show a person pairs of a REAL and a GENERATED picture on a local page, and count how often they are deceived.

    REAL is a folder or zip of photos; GENERATED another one, or a checkpoint, of which samples are drawn. For edits,
    give the photos before and after with --matched, or edited ones beside other real ones without it. Each answer is
    written as it is given, so the same command goes on where it stopped.

    \b
    Examples:
      invertigo human-eval run faces.zip run/snapshot-000200.safetensors --pairs 100
      invertigo human-eval run photos edited --matched --out smiles-by-anna.json
    """
    from editing.early import check_pictures

    check_pictures(real)
    check_pictures(generated)
    from editing.studio.human_page import open_human_page

    open_human_page(real, generated, config, page, console)


@command("report")
@click.argument("answers", nargs=-1, required=True)
def report(answers: tuple[str, ...], console: Console) -> None:
    """Print the rates of files of ANSWERS with their confidence intervals, and of all together.

    \b
    Examples:
      invertigo human-eval report answers.json
      invertigo human-eval report smiles-by-anna.json smiles-by-ben.json
    """
    from stylegan_core.metrics.human import read_answers
    from stylegan_core.metrics.human import report as rates

    for line in rates([(path, *read_answers(path)) for path in answers]):
        console.say(line)


human_eval = DefaultToRun(
    "human-eval",
    [run, report],
    "Let people tell real pictures from generated ones.",
)
