"""What the controls of the page say, as steps of a recipe; and the history of it."""

from dataclasses import dataclass, field

from editing.recipe import EditStep


@dataclass(frozen=True)
class Dials:
    """The positions of all controls."""

    strengths: tuple[tuple[str, float], ...] = ()  # direction (name or file) and strength, those that are not 0
    cross: str = ""  # layers of the second photo; empty: none
    seed: int = 0
    mix: str = ""  # layers of the seed's face; empty: none
    psi: float = 1.0
    paste: str = "auto"

    def steps(self, second: str = "") -> tuple[EditStep, ...]:
        """Return the recipe's edits; `second` is the file of the second photo's code, empty where there is none."""
        steps = [EditStep(transfer=name, strength=strength) for name, strength in self.strengths]
        if second and self.cross:
            steps.append(EditStep(crossover=second, layers=self.cross))
        if self.mix:
            steps.append(EditStep(crossover=str(self.seed), layers=self.mix))
        if self.psi != 1.0:
            steps.append(EditStep(truncate=self.psi))
        return tuple(steps)


@dataclass
class History:
    """The dials as they were after each edit; one can go back and forth."""

    entries: list[Dials] = field(default_factory=lambda: [Dials()])
    position: int = 0

    @property
    def now(self) -> Dials:
        return self.entries[self.position]

    @property
    def can_undo(self) -> bool:
        return self.position > 0

    @property
    def can_redo(self) -> bool:
        return self.position + 1 < len(self.entries)

    def push(self, dials: Dials) -> None:
        """Enter new dials after the present ones; what had been undone is forgotten."""
        if dials != self.now:
            self.entries = [*self.entries[: self.position + 1], dials]
            self.position += 1

    def go(self, position: int) -> None:
        """Go to an entry, as near as there is one."""
        self.position = min(max(position, 0), len(self.entries) - 1)
