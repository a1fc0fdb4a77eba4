"""A dial that means something: the strength at which a judge sees what was asked for, within budgets."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from editing.config import SearchConfig
from editing.expression import move
from editing.judging import as_face, find_judge
from editing.operations.render import Render
from inversion.faces.judges import Judge, identity_distance, judge_region
from stylegan_core.errors import ConfigError
from stylegan_core.networks.protocol import Alignment

SCAN_STEPS = 12  # strengths tried on the way to the highest
BISECTIONS = 14
PRECISION = 0.2  # of the judge's tolerance: a target is met when it is this close


@dataclass(frozen=True)
class Point:
    """What one strength gives."""

    strength: float
    value: float  # the judge's number
    identity: float  # distance of the recognition descriptors to the unedited face
    leak: float  # mean change outside the face region, as a share of the range of values


@dataclass(frozen=True)
class StrengthSearch:
    """The strength that was found, or the best there is, and the way to it."""

    best: Point
    reached: bool
    reason: str  # why the target was not reached; empty if it was
    points: tuple[Point, ...]  # all that were measured, by strength


Measure = Callable[[float], Point]


def find_strength(
    measure: Measure, judge: Judge, config: SearchConfig, ends: tuple[float, float] | None = None
) -> StrengthSearch:
    """Return the smallest strength at which the judge is at `config.target`, within the budgets.

    The strengths up to `max_strength`, and within `ends` where they are known, are scanned, towards the target from
    where the face is (so a target below it gives a negative strength), and the first crossing is bisected. Where a
    budget ends first, or the target is never reached, the result is the point within the budgets that is closest to
    it, and the reason."""
    if judge.unit == "probability" and not 0 <= config.target <= 1:
        raise ConfigError(f"--target {config.target:g} is no probability; expected 0 to 1")
    points = [measure(0.0)]
    if abs(points[0].value - config.target) <= judge.tolerance * PRECISION:
        return _result(points, judge, config, "")
    sign = 1.0 if config.target > points[0].value else -1.0
    farthest = _farthest(sign, config, ends)

    def crossed(point: Point) -> bool:
        return (point.value - config.target) * sign >= 0

    def within(point: Point) -> bool:
        return point.identity <= config.identity_ceiling and point.leak <= config.leak

    for number in range(1, SCAN_STEPS + 1):
        point = measure(farthest * number / SCAN_STEPS)
        low = points[-1]
        points.append(point)
        if crossed(point):
            edge = _bisect(measure, low, point, crossed, points, config.target, judge.tolerance * PRECISION)
            if within(edge):
                return _result(points, judge, config, "", within)
            _bisect(measure, low, edge, lambda item: not within(item), points)
            return _result(points, judge, config, _broken(edge, config), within)
        if not within(point):
            _bisect(measure, low, point, lambda item: not within(item), points)
            return _result(points, judge, config, _broken(point, config), within)
    bounded = ", where faces stop being believable" if abs(farthest) < config.max_strength else ""
    reason = f"the target was not reached up to strength {farthest:g}{bounded}"
    return _result(points, judge, config, reason, within)


def _farthest(sign: float, config: SearchConfig, ends: tuple[float, float] | None) -> float:
    """Return the strength at which a scan ends."""
    low, high = ends or (-config.max_strength, config.max_strength)
    return sign * min(config.max_strength, max(0.0, high if sign > 0 else -low))


def _bisect(
    measure: Measure, low: Point, high: Point, beyond: Callable[[Point], bool], points: list[Point],
    target: float | None = None, precision: float = 0.0,
) -> Point:  # fmt: skip
    """Close in on the strength from which on `beyond` holds; all measured points are added to `points`."""
    for _ in range(BISECTIONS):
        if target is not None and abs(high.value - target) <= precision:
            break
        middle = measure((low.strength + high.strength) / 2)
        points.append(middle)
        low, high = (low, middle) if beyond(middle) else (middle, high)
    return high


def _result(
    points: list[Point], judge: Judge, config: SearchConfig, reason: str, within: Callable[[Point], bool] | None = None
) -> StrengthSearch:
    allowed = [point for point in points if within is None or within(point)]
    best = min(allowed, key=lambda point: (abs(point.value - config.target), abs(point.strength)))
    reached = abs(best.value - config.target) <= judge.tolerance
    if not reached and not reason:
        reason = "what is measured jumps over the target"
    ordered = tuple(sorted(points, key=lambda point: point.strength))
    return StrengthSearch(best, reached, "" if reached else reason, ordered)


def _broken(point: Point, config: SearchConfig) -> str:
    parts = []
    if point.identity > config.identity_ceiling:
        parts.append(f"identity distance {config.identity_ceiling:g}")
    if point.leak > config.leak:
        parts.append(f"change outside the face {config.leak:g}")
    return f"the budget of {' and '.join(parts)} ends before"


def search_step(
    render: Render, ws: Tensor, step: Tensor, attribute: str, search: SearchConfig,
    said: Mapping[str, Any], ends: tuple[float, float] | None = None,
) -> tuple[Tensor, dict[str, Any]]:  # fmt: skip
    """Return ws [1, num_ws, w_dim] after as much of `step` as the judge of `attribute` needs, and `search_report`.

    The judge looks at the face in its photo, where there is one. `said` is what the report will say of the edit, `ends`
    bound the strengths that are tried."""
    judge = find_judge(attribute)
    measure = measure_with(
        partial(render.shown, edit=said), lambda strength: move(ws, step, strength), judge, render.alignment
    )
    found = find_strength(measure, judge, search, ends)
    return move(ws, step, found.best.strength), search_report(found, search, attribute)


def measure_with(
    render: Callable[[Tensor], Tensor], codes: Callable[[float], Tensor], judge: Judge, alignment: Alignment
) -> Measure:
    """Return a function from a strength to its `Point`.

    `codes(strength)` is ws [1, num_ws, w_dim]; `render` turns ws into an image [1, C, R, R]."""
    with torch.no_grad():
        start = as_face(render(codes(0.0)))
        outside = outside_face(start.shape[-1], alignment).to(start.device)

    @torch.no_grad()
    def measure(strength: float) -> Point:
        image = as_face(render(codes(strength))) if strength else start
        change = (image - start).abs().mean(dim=1) / 2  # [1, R, R], a share of the range
        return Point(
            strength,
            float(judge.score(image, alignment)),
            float(identity_distance(image, start, alignment)) if strength else 0.0,
            float(change[0][outside].mean()) if bool(outside.any()) else 0.0,
        )

    return measure


def outside_face(resolution: int, alignment: Alignment) -> Tensor:
    """Return a mask [R, R], true outside the region that the judges look at."""
    left, top, right, bottom = judge_region(alignment)
    place = (torch.arange(resolution) + 0.5) / resolution
    columns, rows = (place >= left) & (place < right), (place >= top) & (place < bottom)
    return ~(rows[:, None] & columns[None, :])


def search_report(search: StrengthSearch, config: SearchConfig, attribute: str) -> dict[str, Any]:
    """Return what the report says of a search: the options, the outcome and the curve."""
    return {
        "judge": attribute,
        "unit": find_judge(attribute).unit,
        "options": asdict(config),
        "reached": search.reached,
        "reason": search.reason,
        "best": asdict(search.best),
        "curve": [asdict(point) for point in search.points],
    }


def search_line(report: dict[str, Any]) -> str:
    """Say the outcome of a search in a line."""
    best, options = report["best"], report["options"]
    found = (
        f"strength {best['strength']:.2f}: {report['judge']} {best['value']:.2f}, identity distance "
        f"{best['identity']:.2f}, change outside the face {best['leak']:.3f}"
    )
    if report["reached"]:
        return found
    return f"cannot reach {report['judge']} {options['target']:g}: {report['reason']}; the best is {found}"
