"""Move along a direction."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from editing.config import DEFAULT_SEARCH, KEEP_HELP, SearchConfig, check_judge, check_target
from editing.operations.base import AUTO, Edit, OpenCode, Operation, Report
from editing.operations.fields import (
    BORDER,
    BORDER_HELP,
    keeping,
    layers_option,
    names_of,
    strength_option,
    told_kept,
    told_strength,
)
from inversion.faces.measure_table import POSES
from stylegan_core.catalogue import believable, check_direction_name, known_ends, look_up
from stylegan_core.errors import ConfigError
from stylegan_core.models import local_file
from stylegan_core.options import group, option

if TYPE_CHECKING:
    from torch import Tensor

    from editing.operations.render import Render
    from stylegan_core.directions import Direction
    from stylegan_core.networks.protocol import Generator

IDENTITY = "identity"  # in `keep`: no direction, but what is compensated
TRANSFER_HELP = "direction by name or file, as smile, smile:0.8, smile:auto, or smile:0.8@4-7 for those layers; repeat"


def is_direction(value: Any) -> bool:
    """Tell whether a value is a `Direction`, which may stand where its name may."""
    return hasattr(value, "vector")


@dataclass(frozen=True)
class Transfer(Operation):
    """ws + strength * direction: a direction's name or file, how far to go, in which layers, what is left alone."""

    key: ClassVar[str] = "transfer"
    transfer: Any = option("", TRANSFER_HELP, also=is_direction, metavar="NAME")  # a name, a file, or a `Direction`
    strength: float | str = strength_option()
    layers: str = layers_option()
    keep: str = option("", f"{KEEP_HELP}; identity compensates what changes the person; {BORDER_HELP}")
    search: SearchConfig = group(DEFAULT_SEARCH, beside=("strength", AUTO))

    @property
    def name(self) -> str:
        """The direction's name or file."""
        return str(self.transfer.name if is_direction(self.transfer) else self.transfer)

    @property
    def label(self) -> str:
        """As `smile 0.8 4-7`."""
        return f"{Path(self.name).stem} {told_strength(self.strength)}" + (f" {self.layers}" if self.layers else "")

    def describe(self) -> str:
        """Say in words what it will do."""
        how_far = self.search.describe() if self.strength == AUTO else f"at {told_strength(self.strength)}"
        where = f" in layers {self.layers}" if self.layers else ""
        return f"transfer {self.name} {how_far}{where}{told_kept(self.keep)}"

    def files(self) -> list[Path]:
        """Return the direction's file, if it is one."""
        named = isinstance(self.transfer, str) and self.transfer.endswith(".npz")
        return [local_file(self.transfer)] if named else []

    def check(self, generator: str) -> None:
        """Refuse a direction that there is not, and a target that its judge cannot say."""
        for name in ([] if is_direction(self.transfer) else [self.transfer]) + self.kept_directions:
            check_direction_name(name, generator)
        if self.strength == AUTO:
            known = None if is_direction(self.transfer) else look_up(self.transfer, generator)
            check_target(self.search, self.search.judge or (known.attribute if known else ""))

    def doubts(self, generator: str) -> list[str]:
        """Say that the strength goes beyond where faces stay believable."""
        if isinstance(self.strength, str):
            return []
        own = self.transfer
        known = look_up(own, generator) if isinstance(own, str) else None
        if is_direction(own):
            low, high = believable(own.report, own.name, own.generator_name)
        elif known is not None:
            low, high = known.believable
        else:
            return []
        if low <= self.strength <= high:
            return []
        return [f"{self.label} is beyond what looks believable, {low:g} to {high:g}; see docs/strengths.md"]

    @property
    def kept_directions(self) -> list[str]:
        """The names or files of the directions that are left alone."""
        return [name for name in names_of(self.keep) if name not in (IDENTITY, BORDER)]

    def resolve(self, generator: Generator, open_code: OpenCode) -> Edit:
        """Look up the directions, and with strength "auto" the judge."""
        from editing.conditional import without
        from editing.expression import move
        from editing.layers import parse_layers
        from stylegan_core.directions import find_direction

        direction = find_direction(self.transfer, generator)
        if direction.styles:
            return self._resolve_channels(direction)
        others = [find_direction(name, generator).vector for name in self.kept_directions]
        layers = tuple(parse_layers(self.layers, generator.num_ws)) if self.layers else direction.layers
        still = generator.w_avg.new_zeros(1, generator.num_ws, generator.w_dim)
        step = move(still, without(direction.vector, others, self.name).to(still), 1.0, layers)
        attribute = self._judge(direction.attribute)
        keeps_identity = IDENTITY in names_of(self.keep) and self.strength != 0
        ends = known_ends(direction.report, direction.name, direction.generator_name)

        def apply(ws: Tensor, render: Render) -> tuple[Tensor, Report]:
            from editing.identity import keep_identity_of
            from editing.strength import search_step

            near = 1.0 if isinstance(self.strength, str) else self.strength  # where identity is looked at
            own = keep_identity_of(render, ws, step, near, layers, direction.attribute) if keeps_identity else step
            said = self._said(direction)
            said |= {"judge": attribute} if attribute else {}
            ways = {name: value for name, value in (("layers", self.layers), ("keep", self.keep)) if value}
            if not isinstance(self.strength, str):
                return move(ws, own, near), {"edits": [{**said, "strength": near, **ways}]}
            moved, found = search_step(render, ws, own, attribute, self.search, said, ends)
            edit = {**said, "strength": found["best"]["strength"], "auto": True, **ways}
            return moved, {"edits": [edit], "strength_search": found}

        edit = Edit(self.label, apply, steady=self.strength != AUTO and not keeps_identity)
        return keeping(edit, self.keep, attribute, adds=edit.steady)

    def _resolve_channels(self, direction: Direction) -> Edit:
        """Move single channels in style space, by as much for every code."""
        if self.layers or self.kept_directions or IDENTITY in names_of(self.keep):
            raise ConfigError(
                f"{self.name} moves single channels; --layers, and --keep of directions or identity, are for steps in W"
            )
        from editing.channels import channel_edit

        attribute = self._judge(direction.attribute)
        ends = known_ends(direction.report, direction.name, direction.generator_name)
        said = self._said(direction)
        edit = channel_edit(self.label, direction.styles, said, self.strength, attribute, self.search, ends)
        return keeping(edit, self.keep, attribute, adds=edit.steady)

    def _said(self, direction: Direction) -> dict[str, Any]:
        """Return what a report says of a direction: its name, what a paste brings of it, whether the head turns."""
        said = {"transfer": self.name, "appearance": direction.appearance}
        return {**said, "turns": True} if direction.attribute in POSES else said

    def _judge(self, own: str) -> str:
        """Return the judge of what it does, empty where none is known; refuse "auto" without one."""
        attribute = self.search.judge or own
        if self.strength == AUTO and not attribute:
            raise ConfigError(f"no judge is known for '{self.name}', which auto needs; name one with --judge")
        if self.strength == AUTO:
            check_judge(attribute)
        return attribute
