"""The command `report`."""

import click

from editing.config import ReportConfig
from invertigo.commands.declare import command
from stylegan_core.console import Console
from stylegan_core.options import options_from


@command("report")
@click.argument("out")
@options_from(ReportConfig, "config")
def report(out: str, config: ReportConfig, console: Console) -> None:
    """Write a contact sheet of a batch's OUT: one HTML file with before and after, figures and failures.

    \b
    Examples:
      invertigo report done
      invertigo report done --to sheet.html --pictures 200
    """
    from editing.early import check_batch

    check_batch(out)
    from editing.report import write_report

    write_report(out, config, console)
