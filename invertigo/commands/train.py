"""The command `train`."""

from invertigo.commands.declare import command
from stylegan_core.console import Console
from stylegan_core.options import options_from
from stylegan_core.training.config import TRAIN_SECTIONS, TrainConfig


@command("train", sections=TRAIN_SECTIONS)
@options_from(TrainConfig, "config")
def train(config: TrainConfig, console: Console) -> None:
    """Train a generator on a folder or zip of square images; the same command goes on where it stopped.

    Writes snapshots, sample grids, log.jsonl and training-curve.png to OUT. Several processes: torchrun.

    \b
    Examples:
      invertigo train --data faces.zip --out run
      invertigo train --data faces.zip --out run --resolution 64 --kimg 1000
    """
    from stylegan_core.training.checks import check_config

    check_config(config)
    from stylegan_core.devices import keep_memory, pick_device
    from stylegan_core.training.loop import train as run

    if pick_device(config.device).type == "cpu":
        keep_memory()

    for line in run(config).lines:
        console.say(line)
