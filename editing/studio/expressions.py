"""Expressions on the page: by name, from a file, or read off a second photo, and put on the face as its dials."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from editing.saved_expressions import load_expression, read_expression, shipped_expressions
from editing.studio.dials import Dials
from editing.studio.offer import offered_measures
from editing.studio.pictures import figure
from editing.studio.session import Session
from inversion.faces.measure_table import MEASURES, told_value
from stylegan_core.errors import ConfigError

NEUTRAL = "neutral"  # the shipped expression
SHOWN_SIDE = 240  # pixels of the second photo
MOST = 1.5  # share of another's expression


def known_expressions(session: Session) -> dict[str, dict[str, float]]:
    """Return the expressions on offer, by name: those that ship, and those of this session."""
    return shipped_expressions() | session.expressions


def load_file(session: Session, path: Path) -> None:
    """Take an expression's file, and put it on offer under the file's name."""
    values = load_expression(path)
    session.expressions = {**session.expressions, path.stem: values}
    session.worn = values


def read_off(session: Session, path: Path) -> None:
    """Take the expression of the largest face of another photo, which is shown beside it."""
    photo = session.read(path)
    session.worn = read_expression(photo, pose=True)
    session.worn_by = f'<div class="pair">{figure(photo.rgb, f"expression of {photo.path.name}", SHOWN_SIDE)}</div>'


def with_expression(session: Session, dials: Dials, share: float = 1.0, pose: bool = False) -> tuple[Dials, list[str]]:
    """Return dials that put so large a share of `session.worn` on the face, 0 being its own expression, and a sentence
    for everything that this generator does not reach.

    Raises `ConfigError` for a generator that has no dials."""
    offer, asked, beyond = offered_measures(session), dict(dials.measures), []
    if not offer:
        raise ConfigError(f"{session.generator.meta.name} has no dials; make them with `invertigo dials fit`")
    for name, wanted in _chosen(session.worn, pose).items():
        if name not in offer:
            continue
        own, low, high = offer[name].own, offer[name].low, offer[name].high
        aim, step = own + share * (wanted - own), MEASURES[name].step
        asked[name] = MEASURES[name].rounded(min(max(aim, low), high))
        if not low - step <= aim <= high + step:
            beyond.append(f"{name} goes to {told_value(name, asked[name])} only, not to {told_value(name, aim)}")
        if abs(asked[name] - own) <= step / 2:
            del asked[name]
    return replace(dials, measures=tuple((name, asked[name]) for name in MEASURES if name in asked)), beyond


def _chosen(values: Mapping[str, float], pose: bool) -> dict[str, float]:
    return {name: value for name, value in values.items() if pose or MEASURES[name].expression}
