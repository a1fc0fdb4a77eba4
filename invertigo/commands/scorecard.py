"""The command `scorecard`."""

from inversion.config import InvertConfig, ScorecardConfig, TuneConfig
from invertigo.commands.declare import command
from invertigo.commands.shared_options import SETTING, out_option
from stylegan_core.console import Console
from stylegan_core.options import options_from


@command("scorecard")
@options_from(ScorecardConfig, "config")
@options_from(InvertConfig, "invert", only=SETTING)
@options_from(TuneConfig, "tune")
@out_option("scorecard")
def scorecard(config: ScorecardConfig, invert: InvertConfig, tune: TuneConfig, out: str, console: Console) -> None:
    """Compare methods of inversion on faces: a table (CSV, Markdown, JSON) and a picture in OUT.

    \b
    Examples:
      invertigo scorecard --data faces.zip --methods project:300,hybrid --out compared
      invertigo scorecard --data faces.zip --images 4 --edits smile,age --lec --drag "0.35,0.68:0.33,0.65"
    """
    from editing.dragged_scores import drag_score
    from editing.early import check_setting
    from inversion.scorecard_methods import check_scorecard

    check_scorecard(config)
    check_setting(invert)
    drag = drag_score(config.drag) if config.drag else None
    from inversion.scorecard import write_scorecard

    write_scorecard(out, config, invert, tune, console, drag=drag)
