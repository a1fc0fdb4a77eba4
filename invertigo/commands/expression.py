"""The commands of `expression`."""

import click

from invertigo.commands.declare import command
from invertigo.commands.groups import Family
from invertigo.commands.shared_options import OutPath
from stylegan_core.console import Console


@command("save")
@click.argument("photo")
@click.option("--out", required=True, type=OutPath(), help="file to write, NAME.json")
@click.option("--pose", is_flag=True, help="save how the head is held as well")
def expression_save(photo: str, out: str, pose: bool, console: Console) -> None:
    """Read the expression off the largest face of PHOTO.

    \b
    Examples:
      invertigo expression save grin.jpg --out grin.json
      invertigo expression save grin.jpg --out grin.json --pose
    """
    from pathlib import Path

    from editing.early import usable

    if not usable([photo], console):
        return
    from editing.saved_expressions import read_expression, save_expression
    from stylegan_core.images import read_photo

    values = read_expression(read_photo(photo), pose)
    save_expression(Path(out), values, Path(out).stem)
    console.say(f"{out}: {', '.join(f'{name}={value:g}' for name, value in values.items())}")


@command("list")
def expression_list(console: Console) -> None:
    """List the expressions that are shipped.

    \b
    Examples:
      invertigo expression list
      invertigo expression list --quiet
    """
    from editing.saved_expressions import shipped_expressions

    for name, values in shipped_expressions().items():
        console.say(f"{name}: {', '.join(f'{key}={value:g}' for key, value in values.items())}")


expression = Family(
    "expression",
    [expression_save, expression_list],
    "Expressions as small files for `edit --expression`: what is measured on a face, not its code.",
)
