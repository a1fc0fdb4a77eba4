"""The command `evaluate`."""

import click

from invertigo.commands.declare import command
from stylegan_core.assets import DEFAULT_GENERATOR
from stylegan_core.console import Console
from stylegan_core.metrics.config import EvaluateConfig
from stylegan_core.options import options_from


@command("evaluate")
@click.argument("checkpoint", default=DEFAULT_GENERATOR)
@options_from(EvaluateConfig, "config")
def evaluate(checkpoint: str, config: EvaluateConfig, console: Console) -> None:
    """Measure the generator of CHECKPOINT: distances to its training images, path lengths of its latent space.

    \b
    Examples:
      invertigo evaluate run/best.safetensors --data faces.zip
      invertigo evaluate faces64
    """
    from editing.early import check_checkpoint
    from stylegan_core.metrics.config import parse_scores
    from stylegan_core.training.checks import check_data

    parse_scores(config)
    check_checkpoint(checkpoint)
    if config.data:
        check_data(config.data)
    from inversion.faces.judges import expression_probabilities
    from stylegan_core.metrics.evaluate import evaluate as run
    from stylegan_core.metrics.evaluate import report_lines

    for line in report_lines(run(checkpoint, config, expression_probabilities)):
        console.say(line)
