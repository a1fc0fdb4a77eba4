"""Drag points of the photo elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from editing.operations.base import Edit, OpenCode, Operation, Report
from editing.operations.fields import EXPRESSION, keep_option, keeping
from stylegan_core.errors import ConfigError
from stylegan_core.options import option

if TYPE_CHECKING:
    from torch import Tensor

    from editing.operations.render import Render
    from stylegan_core.networks.protocol import Generator

MAX_POINTS = 100
Pair = tuple[tuple[float, float], tuple[float, float]]


def parse_drags(text: str) -> list[Pair]:
    """Read `310,402:318,380; 200,300:200,310` as pairs of points, from and to; raises `ConfigError`."""
    pairs: list[Pair] = []
    for part in filter(None, (part.strip() for part in text.split(";"))):
        try:
            (x, y), (to_x, to_y) = ([float(n) for n in point.split(",")] for point in part.split(":"))
        except ValueError:
            raise ConfigError(f"--drag '{part}' is not understood; expected x,y:x,y in pixels of the photo") from None
        if not all(map(math.isfinite, (x, y, to_x, to_y))):
            raise ConfigError(f"--drag '{part}': expected finite numbers, in pixels of the photo")
        pairs.append(((x, y), (to_x, to_y)))
    if len(pairs) > MAX_POINTS:
        raise ConfigError(f"--drag gives {len(pairs)} points; expected {MAX_POINTS} at most")
    return pairs


@dataclass(frozen=True)
class Drag(Operation):
    """The code whose render has what is at some points of the photo at others (DragGAN, Pan et al. 2023)."""

    key: ClassVar[str] = "drag"
    drag: str = option(
        "", "drag what is at a point of the photo to another, x,y:x,y in pixels; all points move together; repeat",
        check=parse_drags, metavar="X,Y:X,Y",
    )  # fmt: skip
    drag_mask: str = option(
        "", "picture of the photo's size, white where dragging may change the face; empty: all of it"
    )
    keep: str = keep_option()

    @classmethod
    def parse_all(cls, texts: Iterable[Any], **given: Any) -> list[Operation]:
        """Read all texts as one operation: points that are dragged together."""
        joined = ";".join(texts)
        return [cls.parse(joined, **given)] if joined else []

    @property
    def label(self) -> str:
        """As `2 points`."""
        num = len(parse_drags(self.drag))
        return f"{num} point{'s' if num != 1 else ''} dragged"

    def files(self) -> list[Path]:
        """Return the mask's file, if there is one."""
        return [Path(self.drag_mask)] if self.drag_mask else []

    def check(self, generator: str) -> None:
        """Refuse a mask that is not there."""
        if self.drag_mask and not Path(self.drag_mask).is_file():
            raise ConfigError(
                f"--drag-mask {self.drag_mask}: there is no such file; give a picture of the photo's size"
            )

    def resolve(self, generator: Generator, open_code: OpenCode) -> Edit:
        """Read the points, and refuse a generator that shows no features."""
        from editing.drag import drag, feature_layer, pin

        feature_layer(generator)
        pairs = parse_drags(self.drag)
        if not pairs:
            raise ConfigError("--drag names no point; expected x,y:x,y in pixels of the photo")

        def apply(ws: Tensor, render: Render) -> tuple[Tensor, Report]:
            from editing.points import in_face, inside, of_photo, read_area

            starts, targets = (in_face(render.latent.quad, [pair[side] for pair in pairs]) for side in (0, 1))
            mine = inside(starts)  # the other points lie on other faces of the photo
            area = read_area(self.drag_mask, render) if self.drag_mask and mine.any() else None
            found = drag(render, ws, starts[mine], targets[mine], area)
            ends, pins = pin(render, ws, found, starts[mine], targets[mine]) or (found.ends, [])
            asked = [pair for pair, own in zip(pairs, mine, strict=True) if own]
            points = [
                {"from": list(start), "to": list(target), "ended": [round(float(n), 1) for n in end]}
                for (start, target), end in zip(asked, of_photo(render.latent.quad, ends), strict=True)
            ]
            notes = [
                "the point {0[0]:g},{0[1]:g} ended at {2[0]:.0f},{2[1]:.0f} of {1[0]:g},{1[1]:g}".format(
                    point["from"], point["to"], point["ended"]
                )
                for point in points
            ]
            if not points:
                notes = ["no point that is dragged lies on this face, so it stays as it is"]
            return found.ws, {"edits": [{"drag": points, "pins": pins, "appearance": EXPRESSION}], "notes": notes}

        return keeping(Edit(self.label, apply, steady=False, repeats=True), self.keep)
