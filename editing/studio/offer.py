"""The directions on offer: those that fit the tab's generator, and those that do not, with the reason."""

from dataclasses import dataclass, replace
from typing import Any

from editing.dials import known_dials
from editing.operations.registry import OPERATIONS
from editing.reach import measures_of
from editing.studio.dials import WITH_OWN_CONTROLS
from editing.studio.session import Session
from inversion.faces.measures import MEASURES
from stylegan_core.catalogue import ANY_BELIEVABLE, believable, order, told
from stylegan_core.directions import Direction, all_shipped, check_direction, shipped_directions
from stylegan_core.errors import LatentMismatchError
from stylegan_core.options import options_of


@dataclass(frozen=True)
class Dial:
    """A direction as the page offers it."""

    name: str  # what a recipe calls it: a shipped name, or a file
    label: str
    info: str  # what strength 1 means
    reason: str = ""  # why it does not fit this generator; empty where it does
    ends: tuple[float, float] = ANY_BELIEVABLE  # strengths between which faces stay believable


def offered(session: Session) -> list[Dial]:
    """Return the directions on offer: those that fit this generator first, what people ask for most before all."""
    fitting = shipped_directions(session.generator.meta.fingerprint)
    offered = [_dial(name, name, item) for name, item in fitting.items()]
    offered.sort(key=lambda dial: (not fitting[dial.name].attribute, order(dial.name)))
    for path, direction in session.own.items():
        offered.append(_checked(_dial(path, f"{direction.name} (your file)", direction), direction, session))
    others = {item.name: item for item in all_shipped() if item.name not in fitting}
    return offered + [_checked(_dial(name, name, item), item, session) for name, item in sorted(others.items())]


def _dial(name: str, label: str, item: Direction) -> Dial:
    return Dial(name, label, told(name, item.unit), ends=believable(item.report, item.name, item.generator_name))


def other_operations() -> list[str]:
    """Return the keys of the operations that have no controls of their own on the page."""
    return [key for key in OPERATIONS if key not in WITH_OWN_CONTROLS]


def still(key: str) -> Any:
    """Return what the control of an operation says where nothing is to be done: its option's default."""
    default = options_of(OPERATIONS[key])[key].default
    return " ".join(default) if isinstance(default, tuple) else default


@dataclass(frozen=True)
class Span:
    """From where to where something that is measured on the face can be set."""

    own: float  # its value on the unedited face
    low: float
    high: float
    info: str


def offered_measures(session: Session) -> dict[str, Span]:
    """Return what can be set on the face that is looked at, by name.

    Nothing for a generator whose dials nobody fitted, since that takes long."""
    table = known_dials(session.generator)
    if table is None or not session.inverted:
        return {}
    own = measures_of(session.inverted[session.need_face()].image, session.generator.meta.alignment)
    found = {}
    for name in table.names:
        measure, ends = MEASURES[name], table.range_of(name)
        value, low, high = (measure.rounded(number) for number in (own[name], *ends))
        info = f"{measure.unit}; {table.generator_name} goes from {measure.told_range(*ends)}"
        if not low <= value <= high:
            info += f", this face is at {value:g}"
        found[name] = Span(value, min(value, low), max(value, high), info)
    return found


def _checked(dial: Dial, direction: Direction, session: Session) -> Dial:
    """Give a dial the reason why its direction does not fit, if it does not."""
    try:
        check_direction(direction, session.generator, dial.label)
    except LatentMismatchError as error:
        return replace(dial, reason=str(error))
    return dial
