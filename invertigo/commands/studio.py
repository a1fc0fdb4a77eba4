"""The command `studio`."""

from editing.config import StudioConfig
from inversion.config import InvertConfig, ProjectionConfig
from invertigo.commands.declare import command
from invertigo.commands.editing import quick
from invertigo.commands.shared_options import SIGN
from stylegan_core.console import Console
from stylegan_core.options import options_from


@command("studio")
@options_from(StudioConfig, "config")
@options_from(InvertConfig, "invert")
@options_from(ProjectionConfig, "projection")
@SIGN
def studio(config: StudioConfig, invert: InvertConfig, projection: ProjectionConfig,
           sign: tuple[str, str] | None, console: Console) -> None:  # fmt: skip
    """Open a local page to invert and edit photos with sliders.

    \b
    Examples:
      invertigo studio
      invertigo studio --port 0 --no-browser --generator faces64
    """
    from editing.early import check_setting

    check_setting(invert)
    from editing.studio.serve import open_studio
    from stylegan_core.credentials import load_signature

    signature = load_signature(*sign) if sign else None
    open_studio(config, quick(invert), projection, console, signature)
