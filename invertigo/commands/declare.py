"""What every command has: its help, --quiet and --debug, a sentence for a failure, and an exit code."""

import sys
from collections.abc import Callable
from typing import Any

import click

from stylegan_core.console import Console, end_on_interrupt_while_loading
from stylegan_core.errors import ConfigError, ToolkitError, ran_out_of_memory, sentence_of
from stylegan_core.grouped_help import GroupedCommand
from stylegan_core.progress import bars_silenced

INTERRUPTED = "interrupted; what was finished is kept: run the same command again to go on"
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


def command(name: str, **settings: Any) -> Callable[[Callable[..., Any]], click.Command]:
    """Make a function a command with grouped help; --quiet and --debug are handed on to it as `console`.

    Exit codes: 1 where the console was told of an error, 2 for a mistake in the command itself, 130 for Ctrl-C."""

    def decorate(function: Callable[..., Any]) -> click.Command:
        def run(quiet: bool, debug: bool, **values: Any) -> None:
            console = Console(debug, quiet)
            code = _run(function, console, values)
            if code or console.failures:
                sys.exit(code or 1)

        run.__name__, run.__doc__ = function.__name__, function.__doc__
        run.__click_params__ = [  # type: ignore[attr-defined]
            click.Option(["--debug"], is_flag=True, help="show tracebacks"),
            click.Option(["--quiet"], is_flag=True, help="print errors only"),
            *getattr(function, "__click_params__", []),
        ]
        return click.command(name, cls=GroupedCommand, context_settings=CONTEXT, **settings)(run)

    return decorate


def _run(function: Callable[..., Any], console: Console, values: dict[str, Any]) -> int:
    """Run a command's function; return its exit code, 0 where nothing went wrong that the console was not told of."""
    try:
        end_on_interrupt_while_loading()
        with bars_silenced(console.quiet):
            function(console=console, **values)
    except KeyboardInterrupt as error:
        console.error(str(error) or INTERRUPTED)
        return 130
    except BrokenPipeError:  # `| head` has read enough: click ends without a word
        raise
    except Exception as error:
        if console.debug or isinstance(error, click.ClickException):
            raise
        hint = (
            ""
            if isinstance(error, ToolkitError) or ran_out_of_memory(error)
            else " (run with --debug for the traceback)"
        )
        console.error(sentence_of(error) + hint)
        return 2 if isinstance(error, ConfigError) else 1
    return 0
