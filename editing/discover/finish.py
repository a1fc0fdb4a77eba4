"""What every direction goes through after its fit: attributes kept, layers chosen, a length that means something."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from editing.conditional import without
from editing.config import FinishConfig
from editing.judging import effect, find_judge
from editing.layers import parse_layers
from inversion.faces.judges import JUDGES, Judge
from stylegan_core.directions import Direction, find_direction
from stylegan_core.networks.protocol import Generator

CALIBRATION_CODES = 32
MAX_LENGTH = 12.0  # of a step, in standard deviations of W
BISECTIONS = 7
IDENTITY_AT_MOST = 0.33


def describe(generator: Generator, name: str, step: Tensor, finish: FinishConfig, report: dict[str, Any]) -> Direction:
    """Make a direction of a step [1, 1 or num_ws, w_dim], less what `finish.keep` names, in the layers it names."""
    kept = kept_directions(generator, finish.keep.split(","))
    vector = without(step.cpu(), [item.vector for item in kept], name)
    layers = None if finish.layers == "all" else tuple(parse_layers(finish.layers, generator.num_ws))
    judged = {"attribute": find_judge(finish.judge) and finish.judge} if finish.judge else {}
    about = {**report, **judged, **({"keeps": [item.name for item in kept]} if kept else {})}
    meta = generator.meta
    return Direction(name, vector, meta.fingerprint, meta.name, layers, "", about)


def kept_directions(generator: Generator, names: Sequence[str]) -> list[Direction]:
    """Return the directions called `names` (or in files), blanks skipped."""
    return [find_direction(name.strip(), generator) for name in names if name.strip()]


def renew(direction: Direction, vector: Tensor, unit: str, report: dict[str, Any]) -> Direction:
    """Return the direction with another step, unit, and more in its report."""
    return replace(direction, vector=vector, unit=unit, report={**direction.report, **report})


def calibrate(generator: Generator, direction: Direction, judge: Judge, w: Tensor, report: dict[str, Any]) -> Direction:
    """Scale a direction so that strength 1 changes its attribute clearly (`judge.clear`, mean over codes w [N, w_dim]).

    Where the mean identity distance gets to `IDENTITY_AT_MOST` before, strength 1 is there. The length is found by
    bisection on renders, up to `MAX_LENGTH`; the report says what strength 1 does to every
    judge and to identity."""
    chosen = w[torch.linspace(0, len(w) - 1, min(len(w), CALIBRATION_CODES)).long()]
    ws = chosen[:, None].repeat(1, generator.num_ws, 1)

    def enough(length: float) -> bool:
        own, identity = effect(generator, ws, direction.vector, length, direction.layers, judge)
        return float(own.mean()) >= judge.clear or float(identity.mean()) >= IDENTITY_AT_MOST

    low, high = 0.0, MAX_LENGTH
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    changes, identity = effect(generator, ws, direction.vector, high, direction.layers)
    own, _ = effect(generator, ws, direction.vector, high, direction.layers, judge)
    measured = {
        "calibrated_on": len(ws),
        "length": high,
        "moved": float((own > 0).float().mean()),
        "mean_change": {name: float(value) for name, value in zip(JUDGES, changes.mean(dim=0), strict=True)},
        "identity_distance": float(identity.mean()),
    }
    attribute = direction.report.get("attribute", direction.name)
    measured["mean_change"] = {attribute: float(own.mean())} | measured["mean_change"]  # type: ignore[operator]
    unit = f"{float(own.mean()):+.2f} in {attribute} ({judge.unit}) on average"
    return renew(direction, direction.vector * high, unit, {**report, **measured})


def summary(direction: Direction) -> str:
    """Say in a line what strength 1 does and how good the fit was."""
    report = direction.report
    parts = [f"strength 1 is {direction.unit}"]
    if "held_out_accuracy" in report:
        parts.append(f"held-out accuracy {report['held_out_accuracy']:.2f} on {report['held_out']}")
    if "held_out_correlation" in report:
        parts.append(f"held-out correlation {report['held_out_correlation']:.2f} on {report['held_out']}")
    if "moved" in report:
        parts.append(f"moves {100 * report['moved']:.0f} %, identity distance {report['identity_distance']:.2f}")
    return "; ".join(parts)
