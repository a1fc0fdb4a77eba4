"""Set what is measured on a face: openings and heights as ratios, the head's pose in degrees."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from editing.operations.base import Edit, OpenCode, Operation, Report
from editing.operations.fields import EXPRESSION, ceiling_option, keep_option, keeping, told_kept
from stylegan_core.errors import ConfigError
from stylegan_core.options import option

if TYPE_CHECKING:
    from torch import Tensor

    from editing.operations.render import Render
    from stylegan_core.networks.protocol import Generator

SET_HELP = (
    "set what is measured on the face, as eyes-open=.30 or yaw=8; all that are given are set together: eyes-open, "
    "brows, mouth-open, mouth-width, mouth-corners (ratios), yaw, pitch, roll (degrees); repeat"
)


def parse_targets(text: str) -> dict[str, float]:
    """Read `eyes-open=.30, yaw=8` as values by measure; raises `ConfigError`."""
    from inversion.faces.measure_table import check_value

    targets: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, number = (piece.strip() for piece in part.partition("="))
        try:
            value = float(number)
        except ValueError:
            raise ConfigError(f"--set '{part}' is not understood; expected NAME=NUMBER, as eyes-open=.30") from None
        check_value(name, value)
        if name in targets:
            raise ConfigError(f"--set gives {name} twice ({targets[name]:g} and {value:g}); give it once")
        targets[name] = value
    return targets


@dataclass(frozen=True)
class SetMeasures(Operation):
    """The code at which the measures have the values asked for, the rest of the face as it was."""

    key: ClassVar[str] = "set"
    set: str = option("", SET_HELP, check=parse_targets, metavar="NAME=VALUE")
    identity_ceiling: float = ceiling_option()
    keep: str = keep_option()

    @classmethod
    def parse_all(cls, texts: Iterable[Any], **given: Any) -> list[Operation]:
        """Read all texts as one operation, so that what a later one sets leaves the earlier ones where they are."""
        joined = ",".join(texts)
        return [cls.parse(joined, **given)] if joined else []

    @property
    def label(self) -> str:
        """As `eyes-open 0.3 yaw 8`."""
        return " ".join(f"{name} {value:g}" for name, value in parse_targets(self.set).items())

    def describe(self) -> str:
        """Say in words what it will do."""
        return f"set {self.label} (identity distance {self.identity_ceiling:g} at most){told_kept(self.keep)}"

    def resolve(self, generator: Generator, open_code: OpenCode) -> Edit:
        """Read the values."""
        targets = parse_targets(self.set)
        if not targets:
            raise ConfigError("--set names nothing; expected NAME=NUMBER, as eyes-open=.30")
        return keeping(setting(targets, self.identity_ceiling, self.label, {"set": targets}), self.keep)


def shipped_names() -> list[str]:
    """Return the names of the expressions that ship."""
    from editing.saved_expressions import shipped_expressions

    return list(shipped_expressions())


@dataclass(frozen=True)
class SetExpression(Operation):
    """All measures of a saved expression at once: absolute values, so that expressions do not add up."""

    key: ClassVar[str] = "expression"
    expression: str = option(
        "", "set all of an expression: neutral, smile, raised-brows, surprised, sad, or a file of `expression save`; "
        "repeat", metavar="NAME",
        offer=shipped_names,
    )  # fmt: skip
    identity_ceiling: float = ceiling_option()
    keep: str = keep_option()

    @property
    def label(self) -> str:
        """As `expression neutral`."""
        return f"expression {Path(self.expression).stem}"

    def files(self) -> list[Path]:
        """Return the expression's file, if it is one."""
        return [Path(self.expression)] if self.expression.endswith(".json") else []

    def resolve(self, generator: Generator, open_code: OpenCode) -> Edit:
        """Read the expression."""
        from editing.saved_expressions import find_expression

        targets = find_expression(self.expression)
        said = {"expression": self.expression, "set": targets}
        return keeping(setting(targets, self.identity_ceiling, self.label, said), self.keep)


def setting(targets: Mapping[str, float], ceiling: float, label: str, said: dict[str, Any]) -> Edit:
    """Return the edit that sets measures; what it cannot reach it says in a note."""
    from editing.reach import reach
    from inversion.faces.measure_table import POSES, told_value

    said = {**said, "turns": True} if any(name in POSES for name in targets) else said

    def apply(ws: Tensor, render: Render) -> tuple[Tensor, Report]:
        found = reach(render, ws, targets, ceiling)
        edit = {
            **said, "appearance": EXPRESSION, "before": _rounded(found.before, targets),
            "reached": _rounded(found.values, targets),
            "identity_distance": round(found.identity, 4), "missed": found.missed,
        }  # fmt: skip
        notes = [
            f"cannot set {name} to {told_value(name, targets[name])}: {reason}; the nearest is "
            f"{told_value(name, found.values[name])} (it was {told_value(name, found.before[name])})"
            for name, reason in found.missed.items()
        ]
        return found.ws, {"edits": [edit], "notes": notes, "styles": found.styles}

    return Edit(label, apply, steady=False, repeats=True)


def _rounded(values: Mapping[str, float], names: Iterable[str]) -> dict[str, float]:
    return {name: round(values[name], 4) for name in names}
