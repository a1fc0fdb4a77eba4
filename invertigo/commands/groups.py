"""Groups of commands: they say what was probably meant by a name that there is not."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import click
from click.shell_completion import CompletionItem

from invertigo.commands.declare import CONTEXT
from stylegan_core.assets import DEFAULT_GENERATOR
from stylegan_core.spelling import suggestion


class Family(click.Group):
    """Commands of one subject; for one that there is not it names the one that is most like it."""

    def __init__(self, name: str, commands: Sequence[click.Command], help: str) -> None:
        super().__init__(name, commands, help=help, context_settings=CONTEXT)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Find a command, or name the one that is most like it, or the option that it is."""
        name = args[0]
        if self.get_command(ctx, name) is None and not ctx.resilient_parsing:
            from stylegan_core.catalogue import shipped_names

            if name in shipped_names(DEFAULT_GENERATOR):
                ctx.fail(f"no command '{name}', but an edit: edit PHOTO --transfer {name}")
            ctx.fail(f"no command '{name}'{suggestion(name, self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)


class DefaultToRun(Family):
    """A family whose command `run` may be left out."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `run` before anything that is no command of the family."""
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = ["run", *args]
        return super().parse_args(ctx, args)


class LazyCommands(Family):
    """Commands that are imported when they are run: `lines` has their names and what each does, in a line.

    The command `sample-data` is `sample_data` of the module `sample_data` in `package`."""

    def __init__(self, lines: Mapping[str, str], package: str, help: str) -> None:
        super().__init__("invertigo", [], help)
        self.lines, self.package = lines, package

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order of the alphabet."""
        return sorted(self.lines)

    def command_named(self, name: str) -> click.Command:
        """Import a command."""
        attribute = name.replace("-", "_")
        found: click.Command = getattr(import_module(f"{self.package}.{attribute}"), attribute)
        return found

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None where there is no such name."""
        return self.command_named(cmd_name) if cmd_name in self.lines else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the names and lines, without an import of the commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.lines[name]) for name in self.list_commands(ctx)])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the names that begin with what was typed, or options where that is a dash."""
        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        items = [CompletionItem(name, help=self.lines[name]) for name in names]
        return [*items, *click.Command.shell_complete(self, ctx, incomplete)]
