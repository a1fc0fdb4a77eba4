"""The command `info`."""

import click

from invertigo.commands.declare import command
from stylegan_core.console import Console


@command("info")
@click.argument("files", nargs=-1, required=True)
def info(files: tuple[str, ...], console: Console) -> None:
    """Say what FILES are: checkpoints, latents, directions, or pictures and films with their content credentials.

    \b
    Examples:
      invertigo info ffhq.pkl
      invertigo info out/photo/face0/latent.npz smile.npz
    """
    from editing.early import file_problem, usable

    for name in usable(files, console, file_problem):
        from editing.info import describe_file

        with console.guard(name):
            lines = describe_file(name)
            console.say("\n".join([name, *(f"  {label}: {text}" for label, text in lines.items())]))
            if lines.get("content credentials", "").startswith("BROKEN"):
                console.error(f"{name}: it is not as it was signed; its content credentials do not hold")
