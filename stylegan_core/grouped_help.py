"""`--help` of a command with many options: under headings, and lists of names with a line each."""

from collections.abc import Mapping
from typing import Any

import click


class GroupedOption(click.Option):
    """An option that `--help` lists under a heading."""

    def __init__(self, *args: Any, group: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.group = group


class GroupedCommand(click.Command):
    """A command whose `--help` lists options under their groups, and `sections` of names with a line each."""

    def __init__(self, *args: Any, sections: Mapping[str, Mapping[str, str]] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sections = sections or {}

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the groups in the order of their first options, the rest, then the sections."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                groups.setdefault(getattr(parameter, "group", "") or "Other options", []).append(record)
        for title, rows in [*groups.items(), *((title, list(rows.items())) for title, rows in self.sections.items())]:
            with formatter.section(title):
                formatter.write_dl(rows)
