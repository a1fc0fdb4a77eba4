"""Points on the photo: how they are drawn and listed, and the words that dragging takes."""

from collections.abc import Mapping, Sequence
from math import hypot

from editing.operations.drag import Drag, Pair, parse_drags

POINTS = Drag.key  # the operation whose words are points of the photo, from and to
PLACE = """invertigo.points(element, detail => trigger('place', detail))"""
REMOVE = """element.addEventListener('click', event => {
  const button = event.target.closest('[data-remove]');
  if (button) trigger('remove', {index: Number(button.dataset.remove)});
})"""
ALL = -1  # index of all points


def words_of(pairs: Sequence[Pair]) -> str:
    """Return points as `--drag` takes them, to a tenth of a pixel."""
    return "; ".join(f"{x:.1f},{y:.1f}:{to_x:.1f},{to_y:.1f}" for (x, y), (to_x, to_y) in pairs)


def overlay(words: str, part: tuple[slice, slice], placing: bool) -> str:
    """Return the drawing of points over a part of the photo; while `placing`, points can be set on it."""
    rows, columns = part
    width, height = columns.stop - columns.start, rows.stop - rows.start
    size = max(width, height) / 90
    drawn = "".join(_drawn(pair, number, size) for number, pair in enumerate(parse_drags(words), start=1))
    if not drawn and not placing:
        return ""
    about = 'role="application" aria-label="Press where a point is and where it shall go"' if placing else 'role="img"'
    return (
        f'<svg class="points{" placing" if placing else ""}" viewBox="{columns.start} {rows.start} {width} {height}" '
        f'data-size="{size:.2f}" {about}>{drawn}</svg>'
    )


def listed(words: str, ended: Mapping[Pair, tuple[float, float]]) -> str:
    """List the points, each with a button that removes it, and where it ended; those without an end lie on no face."""
    pairs = parse_drags(words)
    rows = "".join(
        f'<li>{_told(pair, ended.get(pair))} <button type="button" data-remove="{index}" '
        f'aria-label="remove point {index + 1}">remove</button></li>'
        for index, pair in enumerate(pairs)
    )
    if not rows:
        return '<p class="none">None. Tick Points by the photo, then press where a point is, and where it shall go.</p>'
    everything = f'<button type="button" data-remove="{ALL}">remove all</button>' if len(pairs) > 1 else ""
    return f"<ol>{rows}</ol>{everything}"


def _told(pair: Pair, end: tuple[float, float] | None) -> str:
    (x, y), (to_x, to_y) = pair
    told = f"from {x:.0f},{y:.0f} to {to_x:.0f},{to_y:.0f}"
    if end is None:
        return f"{told}: on no face, so nothing moves"
    way, left = hypot(to_x - x, to_y - y), hypot(to_x - end[0], to_y - end[1])
    return told + (f": {max(0.0, 1 - left / way):.0%} of the way" if way else "")


def _drawn(pair: Pair, number: int, size: float) -> str:
    (x, y), (to_x, to_y) = pair
    return (
        f'<g stroke-width="{size / 3:.2f}"><line x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}"/>'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size * 0.8:.2f}"/>'
        f'<circle class="to" cx="{to_x:.1f}" cy="{to_y:.1f}" r="{size * 0.8:.2f}"/>'
        f'<text x="{to_x + size * 1.2:.1f}" y="{to_y - size:.1f}" font-size="{size * 2.6:.1f}">{number}</text></g>'
    )
