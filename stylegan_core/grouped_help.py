"""`--help` of a command with many options: everyday ones first, under headings; all of them by `--help-all`."""

from collections.abc import Mapping
from typing import Any

import click

MANY = 20  # options, from which on those that are not for every day are left to `--help-all`
REST = "Other options"
ALL = "stylegan_core.help_all"  # in a context's `meta`: every option is to be listed


class GroupedOption(click.Option):
    """An option that `--help` lists under a heading; `everyday` ones are listed where there are many, too."""

    def __init__(self, *args: Any, group: str = "", everyday: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.group, self.everyday = group, everyday


def _show_all(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        ctx.meta[ALL] = True
        click.echo(ctx.get_help(), color=ctx.color)
        ctx.exit()


HELP_ALL = click.Option(
    ["--help-all"], is_flag=True, is_eager=True, expose_value=False, callback=_show_all, help="Show every option."
)


class GroupedCommand(click.Command):
    """A command whose `--help` lists options under their groups, and `sections` of names with a line each.

    Of many options only those for every day, the rest by `--help-all`."""

    def __init__(self, *args: Any, sections: Mapping[str, Mapping[str, str]] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sections = sections or {}

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the parameters, with `--help-all` where `--help` leaves some out."""
        params = super().get_params(ctx)
        return [*params, HELP_ALL] if self._left_out(params) else params

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the groups in the order of their first options, the rest, then the sections."""
        groups: dict[str, list[tuple[str, str]]] = {}
        everything = super().get_params(ctx)
        left_out = [] if ctx.meta.get(ALL) else self._left_out(everything)
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option) and parameter not in left_out:
                groups.setdefault(getattr(parameter, "group", "") or REST, []).append(record)
        if REST in groups:
            groups[REST] = groups.pop(REST)  # last
        for title, rows in [*groups.items(), *((title, list(rows.items())) for title, rows in self.sections.items())]:
            with formatter.section(title):
                formatter.write_dl(rows)
        if left_out:
            formatter.write_paragraph()
            formatter.write_text(f"{len(left_out)} more options, for when these do not do: --help-all")

    def _left_out(self, params: list[click.Parameter]) -> list[click.Parameter]:
        """Return the options that `--help` leaves to `--help-all`."""
        seen = [item for item in params if isinstance(item, click.Option) and not item.hidden]
        grouped = [item for item in seen if isinstance(item, GroupedOption)]
        some = any(item.everyday for item in grouped)
        return [item for item in grouped if not item.everyday] if some and len(seen) > MANY else []
