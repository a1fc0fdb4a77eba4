"""The command `video`."""

import click

from editing.operations.words import EditWords, edit_options
from inversion.config import InvertConfig, ProjectionConfig, VideoConfig
from invertigo.commands.declare import command
from invertigo.commands.shared_options import SETTING, SIGN, out_option
from stylegan_core.console import Console
from stylegan_core.errors import ConfigError
from stylegan_core.options import options_from


@command("video")
@click.argument("film")
@edit_options("words")
@options_from(VideoConfig, "config")
@options_from(InvertConfig, "invert", only=SETTING)
@options_from(ProjectionConfig, "projection")
@out_option("video")
@SIGN
def video(film: str, words: EditWords, config: VideoConfig, invert: InvertConfig, projection: ProjectionConfig,
          out: str, sign: tuple[str, str] | None, console: Console) -> None:  # fmt: skip
    """Invert the face in FILM (a video, or a folder of frames), edit it, and put it back, smoothly over time.

    \b
    Examples:
      invertigo video film.mp4 --transfer smile:0.6
      invertigo video frames --transfer age:1 --frames 100 --out older
    """
    from editing.early import check_setting, check_stray_words
    from editing.region_names import check_regions
    from stylegan_core.photo_files import film_problem

    operations = words.operations()
    check_setting(invert)
    check_regions(config.region)
    if reason := film_problem(film):
        raise ConfigError(reason)
    check_stray_words([film], operations, invert.generator)
    for operation in operations:
        operation.check(invert.generator)
    from editing.video import edit_video
    from stylegan_core.credentials import load_signature

    signature = load_signature(*sign) if sign else None
    edit_video(film, out, operations, config, invert, projection, console, signature)
