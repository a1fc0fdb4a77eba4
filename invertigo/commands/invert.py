"""The command `invert`."""

import click

from inversion.config import InvertConfig, ProjectionConfig, TuneConfig
from invertigo.commands.declare import command
from invertigo.commands.shared_options import out_option
from stylegan_core.console import Console
from stylegan_core.options import options_from


@command("invert")
@click.argument("photos", nargs=-1, required=True)
@out_option("out")
@options_from(InvertConfig, "invert")
@options_from(ProjectionConfig, "projection")
@options_from(TuneConfig, "tune")
def invert(photos: tuple[str, ...], out: str, invert: InvertConfig, projection: ProjectionConfig,
                tune: TuneConfig, console: Console) -> None:  # fmt: skip
    """Find the latent codes of the faces in PHOTOS.

    Minimises  lambda_percept * L_percept(G(w), I) + lambda_mse / N * ||G(w) - I||^2  and writes, for each face,
    OUT/PHOTO/faceN/ with latent.npz, aligned.png, inverted.png, comparison.png and report.json.

    \b
    Examples:
      invert photo.jpg
      invert group.jpg --faces all --out codes
    """
    from editing.early import check_setting, usable

    check_setting(invert)
    if not (photos := tuple(usable(photos, console))):
        return
    from inversion.invert_files import invert_files

    invert_files(photos, out, invert, projection, console, tune)
