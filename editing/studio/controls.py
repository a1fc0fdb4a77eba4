"""What the controls of the page say, read as dials."""

from typing import Any

from editing.regions import REGIONS
from editing.studio.dials import Dials
from editing.studio.offer import offered, other_operations, still
from editing.studio.session import Session
from inversion.faces.measures import MEASURES


def read_dials(session: Session, values: tuple[Any, ...]) -> Dials:
    """Read the dials off the controls' values, in the order in which the page hands them on."""
    keys = other_operations()
    others = [(key, value) for key, value in zip(keys, values[len(values) - len(keys) :], strict=True)]
    first = len(values) - len(keys) - len(MEASURES)
    own, set_to = session.own_measures, zip(MEASURES, values[first:], strict=False)
    measures = tuple(
        (name, float(value))
        for name, value in set_to
        if name in own and abs(value - own[name]) > MEASURES[name].step / 2
    )
    *strengths, cross, seed, mix, psi, paste, region, border = values[:first]
    named = zip(offered(session), strengths, strict=False)
    moved = tuple((dial.name, float(value)) for dial, value in named if value and not dial.reason)
    asked = tuple((key, value) for key, value in others if value not in (None, still(key)))
    layers = ",".join(sorted(mix, key=int))
    regions = ",".join(name for name in REGIONS if name in region)
    return Dials(
        moved, ",".join(cross), int(seed or 0), layers, float(psi), paste, regions, bool(border), measures, asked
    )
