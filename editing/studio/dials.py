"""What the controls of the page say, as operations; and the history of it."""

import time
from dataclasses import dataclass, field, replace
from typing import Any

from editing.operations.base import Operation
from editing.operations.crossover import Crossover
from editing.operations.fields import BORDER
from editing.operations.measures import SetMeasures
from editing.operations.registry import OPERATIONS
from editing.operations.transfer import Transfer
from editing.operations.truncate import Truncate
from stylegan_core.options import options_of

# The other operations get one each.
WITH_OWN_CONTROLS = ("transfer", "transfer_from", "crossover", "truncate", "set", "expression")
ONE_MOVE = 1.5  # seconds: key presses on one control that follow each other so fast are one edit


@dataclass(frozen=True)
class Dials:
    """The positions of all controls."""

    strengths: tuple[tuple[str, float], ...] = ()  # direction (name or file) and strength, those that are not 0
    cross: str = ""  # layers of the second photo; empty: none
    seed: int = 0
    mix: str = ""  # layers of the seed's face; empty: none
    psi: float = 1.0
    paste: str = "auto"
    region: str = ""  # where edits may show; empty: everywhere
    border: bool = False  # whether the picture's rim (neck, hair, shoulders) stays where it is
    measures: tuple[tuple[str, float], ...] = ()  # what is measured on the face and its value, where it is set
    others: tuple[tuple[str, float | str], ...] = ()  # key of an operation and what its control says, where it is moved

    def with_strength(self, name: str, strength: float) -> "Dials":
        """Return the dials with one direction at another strength, in the place it has or at the end."""
        strengths = {**dict(self.strengths), name: strength}
        return replace(self, strengths=tuple(item for item in strengths.items() if item[1]))

    def words(self, key: str) -> str:
        """Return the words for an operation that has no controls of its own; empty where it is not asked for."""
        return str(dict(self.others).get(key, ""))

    def with_other(self, key: str, words: str) -> "Dials":
        """Return the dials with other words for an operation that has no controls of its own; empty: without it."""
        others = {**dict(self.others), key: words}
        return replace(self, others=tuple((name, others[name]) for name in OPERATIONS if others.get(name)))

    def operations(self, second: str = "") -> tuple[Operation, ...]:
        """Return the edits in order; `second` is the file of the second photo's code, empty where there is none."""
        found: list[Operation] = [Transfer(name, strength) for name, strength in self.strengths]
        if second and self.cross:
            found.append(Crossover(second, self.cross))
        if self.mix:
            found.append(Crossover(str(self.seed), self.mix))
        if self.psi != 1.0:
            found.append(Truncate(self.psi))
        found += [OPERATIONS[key].parse(str(value)) for key, value in self.others]
        if self.measures:
            found.append(SetMeasures(",".join(f"{name}={value:g}" for name, value in self.measures)))
        found.sort(key=lambda operation: list(OPERATIONS).index(operation.key))  # as one command applies them
        return tuple(_keeping_border(one) for one in found) if self.border else tuple(found)

    def label(self, second: str = "") -> str:
        """Say in a line what is edited."""
        return " + ".join(edit.label for edit in self.operations(second)) or "the inversion"


def _keeping_border(operation: Operation) -> Operation:
    """Let an operation leave the picture's rim alone, if it is one that can."""
    kept: dict[str, Any] = {"keep": BORDER} if "keep" in options_of(type(operation)) else {}
    return replace(operation, **kept)


@dataclass
class History:
    """The dials as they were after each edit; one can go back and forth."""

    entries: list[Dials] = field(default_factory=lambda: [Dials()])
    position: int = 0
    _pushed: float = 0.0  # when the last entry was made

    @property
    def now(self) -> Dials:
        return self.entries[self.position]

    @property
    def can_undo(self) -> bool:
        return self.position > 0

    @property
    def can_redo(self) -> bool:
        return self.position + 1 < len(self.entries)

    def push(self, dials: Dials, apart: bool = False) -> None:
        """Enter new dials after the present ones; what had been undone is forgotten.

        Fast moves of one control become one entry, unless they stand `apart`."""
        if dials == self.now:
            return
        goes_on = not apart and self.position > 0 and time.monotonic() - self._pushed < ONE_MOVE
        keep = self.position if goes_on and _same_control(self.entries[self.position - 1], self.now, dials) else None
        self.entries = [*self.entries[: keep or self.position + 1], dials]
        self.position, self._pushed = len(self.entries) - 1, time.monotonic()

    def rest(self) -> None:
        """Let what comes next be an entry of its own, however fast it comes."""
        self._pushed = 0.0

    def go(self, position: int) -> None:
        """Go to an entry, as near as there is one."""
        self.position = min(max(position, 0), len(self.entries) - 1)


def _same_control(before: Dials, now: Dials, then: Dials) -> bool:
    """Tell whether the step from `before` to `now` and that from `now` to `then` moved one and the same control."""
    moved = [_moved(before, now), _moved(now, then)]
    return len(moved[0]) == 1 and moved[0] == moved[1]


def _moved(one: Dials, other: Dials) -> set[str]:
    """Return the controls in which two dials differ."""
    sliders = [dict((*item.strengths, *item.measures)) for item in (one, other)]
    names = {name for name in {*sliders[0], *sliders[1]} if sliders[0].get(name) != sliders[1].get(name)}
    rest = ("cross", "seed", "mix", "psi", "paste", "region", "border", "others")
    return {f"strength of {name}" for name in names} | {n for n in rest if getattr(one, n) != getattr(other, n)}
