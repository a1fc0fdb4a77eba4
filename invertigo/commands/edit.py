"""The command `edit`."""

from typing import Any

import click

from editing.operations.words import EditWords, edit_options
from invertigo.commands.declare import command
from invertigo.commands.editing import editing_options, quick, ready, workshop
from invertigo.commands.shared_options import SIGN
from stylegan_core.console import Console


@command("edit")
@click.argument("inputs", nargs=-1, required=True)
@edit_options("words")
@SIGN
@editing_options
def edit(inputs: tuple[str, ...], words: EditWords, console: Console, **options: Any) -> None:
    """Edit the faces in INPUTS: latents, or photos, which are inverted first.

    Writes OUT/PHOTO/faceN/ with edited.png, photo_edited.png (the whole photo), latent.npz, comparison.png and
    report.json.

    \b
    Examples:
      edit photo.jpg --transfer smile:0.6
      edit out/photo/face0/latent.npz --transfer age:-1 --keep gender --out younger
    """
    from editing.early import check_operations

    operations = words.operations()
    options["invert"] = quick(options["invert"])
    chosen = ready(inputs, operations, console, options)
    check_operations(operations)
    if not chosen:
        return
    from editing.edit import edit_files

    edit_files(chosen, operations, workshop(console, **options))
