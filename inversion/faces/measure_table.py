"""What is measured on a face, in which units and within which bounds; torch is needed only to measure."""

from dataclasses import dataclass

from stylegan_core.errors import ConfigError
from stylegan_core.spelling import suggestion


@dataclass(frozen=True)
class Measure:
    """One number of a face."""

    unit: str
    tolerance: float  # a difference that does not count
    plausible: tuple[float, float]  # values beyond these are no face's
    group: str  # of dials that belong together: eyes, mouth, head
    expression: bool = True  # whether it belongs to an expression; else to the head's pose

    @property
    def step(self) -> float:
        """The finest difference that is set or told: a third of what does not count, rounded."""
        return 1.0 if self.tolerance >= 1 else 0.01

    def rounded(self, value: float) -> float:
        """Return a value as it is set and told, in whole steps."""
        return round(round(value / self.step) * self.step, 4) + 0.0  # never -0

    def told_range(self, low: float, high: float) -> str:
        """Say from where to where values go, rounded as they are set."""
        digits = 0 if self.step >= 1 else 2
        return f"{self.rounded(low):.{digits}f} to {self.rounded(high):.{digits}f}"


MEASURES: dict[str, Measure] = {
    "eyes-open": Measure("height of the eyes over their width", 0.03, (0.0, 0.7), "eyes"),
    "brows": Measure("height over the eyes, in eye distances", 0.03, (0.0, 0.8), "eyes"),
    "mouth-open": Measure("gap of the lips, in eye distances", 0.03, (0.0, 1.0), "mouth"),
    "mouth-width": Measure("in eye distances", 0.03, (0.3, 1.6), "mouth"),
    "mouth-corners": Measure("height over the lips, in eye distances", 0.03, (-0.4, 0.4), "mouth"),
    "yaw": Measure("degrees, to the right of the picture", 3.0, (-60.0, 60.0), "head", expression=False),
    "pitch": Measure("degrees, upwards", 3.0, (-45.0, 45.0), "head", expression=False),
    "roll": Measure("degrees, clockwise", 3.0, (-45.0, 45.0), "head", expression=False),
}
POSES = tuple(name for name, measure in MEASURES.items() if not measure.expression)


def check_value(name: str, value: float) -> None:
    """Refuse a measure that there is not, or a value that no face has; raises `ConfigError`."""
    if name not in MEASURES:
        known = ", ".join(MEASURES)
        raise ConfigError(f"nothing that is measured is called '{name}'; there are {known}{suggestion(name, MEASURES)}")
    low, high = MEASURES[name].plausible
    if not low <= value <= high:  # also what is no number
        raise ConfigError(f"{name}={value:g} is no face's; expected {low:g} to {high:g} ({MEASURES[name].unit})")


def told_value(name: str, value: float) -> str:
    """Return a value with as many digits as mean something."""
    return f"{value:.1f} degrees" if MEASURES[name].tolerance >= 1 else f"{value:.3f}"
