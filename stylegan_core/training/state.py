"""Everything a run needs to go on as if it had never stopped, in one file that is replaced at once."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylegan_core.checkpoints.native import read_safetensors, write_safetensors
from stylegan_core.errors import CheckpointError, TrainingError
from stylegan_core.training.autoencode import AnyStepper
from stylegan_core.training.config import FREE_FIELDS, TrainConfig

STATE_FILE = "training-state.safetensors"
_FORMAT = "invertigo-training-2"


def save_state(folder: Path, config: TrainConfig, stepper: AnyStepper, cur_nimg: int, facts: dict[str, Any]) -> None:
    """Write networks, optimisers, counters and `facts` (JSON values); raises `OutputError`, leaving the old file."""
    tensors: dict[str, Tensor] = {}
    for prefix, state in stepper.networks().items():
        tensors |= {f"{prefix}.{name}": tensor.detach().cpu() for name, tensor in state.items()}
    numbers: dict[str, float] = {}
    for prefix, optimizer in stepper.optimizers().items():
        for index, values in optimizer.state_dict()["state"].items():
            for key, value in values.items():
                if isinstance(value, Tensor):
                    tensors[f"{prefix}.{index}.{key}"] = value.detach().cpu()
                else:
                    numbers[f"{prefix}.{index}.{key}"] = value
    tensors |= {name: tensor.cpu() for name, tensor in stepper.memory().items()}
    header = {
        "format": _FORMAT,
        "config": json.dumps(dataclasses.asdict(config)),
        "cur_nimg": str(cur_nimg),
        "numbers": json.dumps(numbers),
        "stepper": json.dumps(stepper.numbers()),
        "facts": json.dumps(facts),
    }
    write_safetensors(folder / STATE_FILE, tensors, header)


def load_state(folder: Path, config: TrainConfig, stepper: AnyStepper) -> tuple[int, dict[str, Any]]:
    """Bring `stepper` to the saved state; return the images seen and the facts. Raises `TrainingError`."""
    path = folder / STATE_FILE
    tensors, header = read_safetensors(path)
    if header.get("format") != _FORMAT:
        raise CheckpointError(f"{path}: not a training state of this program")
    _check_same(path, config, json.loads(header["config"]))
    for prefix, state in stepper.networks().items():
        _fill(state, {name: tensors.get(f"{prefix}.{name}") for name in state}, path)
    numbers = json.loads(header["numbers"])
    for prefix, optimizer in stepper.optimizers().items():
        values: dict[int, dict[str, Any]] = {}
        for source in (tensors, numbers):
            for name, value in source.items():
                if name.startswith(prefix + "."):
                    index, _, key = name.removeprefix(prefix + ".").partition(".")
                    values.setdefault(int(index), {})[key] = value
        whole = optimizer.state_dict()
        optimizer.load_state_dict({"state": values, "param_groups": whole["param_groups"]})
    stepper.restore(json.loads(header["stepper"]), tensors)
    facts: dict[str, Any] = json.loads(header["facts"])
    return int(header["cur_nimg"]), facts


@torch.no_grad()
def _fill(state: dict[str, Tensor], saved: dict[str, Tensor | None], path: Path) -> None:
    for name, tensor in state.items():
        value = saved[name]
        if value is None or value.shape != tensor.shape:
            raise TrainingError(f"{path}: {name} is missing or of another shape; this run is not the one it was")
        tensor.copy_(value)


def _check_same(path: Path, config: TrainConfig, saved: dict[str, Any]) -> None:
    now = dataclasses.asdict(config)
    changed = [n for n in now if n not in FREE_FIELDS and n in saved and saved[n] != now[n]]
    if changed:
        what = "; ".join(f"{name} was {saved[name]!r}, is {now[name]!r}" for name in changed)
        raise TrainingError(f"{path.parent} holds another run ({what}); give another --out, or the same options")


def has_state(folder: Path) -> bool:
    """Tell whether a run has been saved here."""
    return (folder / STATE_FILE).is_file()
