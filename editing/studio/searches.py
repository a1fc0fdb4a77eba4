"""What the page asks of a search, and what becomes of the options that the studio was started with."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from inversion.invert import InvertedFace, Inverter


@dataclass(frozen=True)
class SearchChoice:
    """What the page asks of an inversion."""

    method: str
    space: str
    steps: int
    seed: int


def replace_config(inverter: Inverter, projection: Any = None, **changes: Any) -> Inverter:
    """Return an inverter with the same models and other options."""
    config = replace(inverter.config, **changes)
    return Inverter(config, projection or inverter.projection, inverter.generator, inverter.perceptual, inverter.tune)


def portable(inverted: InvertedFace) -> InvertedFace:
    """Name the photo by its name alone in the report: a path of the page's machine is of no use elsewhere."""
    report = inverted.latent.report
    photo = {**report["photo"], "path": Path(report["photo"]["path"]).name}
    return replace(inverted, latent=replace(inverted.latent, report={**report, "photo": photo}))
