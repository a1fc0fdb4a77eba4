"""The command `completion`."""

import click

from invertigo.commands.declare import command
from stylegan_core.console import Console


@command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str, console: Console) -> None:
    """Print what makes SHELL complete commands, options and names with the Tab key.

    \b
    Examples:
      invertigo completion bash >> ~/.bashrc
      invertigo completion fish > ~/.config/fish/completions/invertigo.fish
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    for name in ("invertigo", "invert", "edit"):
        console.say(kind(click.Command(name), {}, name, f"_{name.upper()}_COMPLETE").source())
