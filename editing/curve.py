"""The curve of a strength search as a picture."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

SIZE = (640, 400)
MARGIN = (60, 24, 20, 46)  # left, top, right, bottom
COLOURS = {"value": (200, 60, 40), "identity": (40, 90, 180), "leak": (60, 140, 70)}


def draw_curve(report: dict[str, Any]) -> NDArray[np.uint8]:
    """Draw judge, identity distance and change outside the face against strength, with target, budgets and result.

    `report` is `search_report`'s. Years are drawn as hundredths, so that all three share one axis."""
    options, curve = report["options"], report["curve"]
    scale = 0.01 if report["unit"] == "years" else 1.0
    x_values = [point["strength"] for point in curve]
    low, high = min(*x_values, 0.0), max(*x_values, 0.0)
    high = high if high > low else low + 1.0
    top = max(1.0, *(point["identity"] for point in curve), *(point["value"] * scale for point in curve))
    left, right, above, below = MARGIN[0], SIZE[0] - MARGIN[2], MARGIN[1], SIZE[1] - MARGIN[3]

    def place(x: float, y: float) -> tuple[float, float]:
        return left + (x - low) / (high - low) * (right - left), below - y / top * (below - above)

    canvas = Image.new("RGB", SIZE, "white")
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(size=12)
    draw.rectangle((left, above, right, below), outline=(150, 150, 150))
    for tick in range(5):
        x, y = low + (high - low) * tick / 4, top * tick / 4
        draw.text((place(x, 0)[0], below + 6), f"{x:.2f}", fill="black", font=font, anchor="ma")
        draw.text((left - 6, place(low, y)[1]), f"{y:.2f}", fill="black", font=font, anchor="rm")
    ceiling = options.get("identity_ceiling", options.get("identity_floor"))  # as reports before called it
    lines = {"value": options["target"] * scale, "identity": ceiling, "leak": options["leak"]}
    for key, limit in lines.items():
        y = place(low, limit)[1]
        for start in range(left, right, 8):
            draw.line((start, y, start + 3, y), fill=COLOURS[key])
        factor = scale if key == "value" else 1.0
        draw.line([place(point["strength"], point[key] * factor) for point in curve], fill=COLOURS[key], width=2)
    best = place(report["best"]["strength"], report["best"]["value"] * scale)
    draw.ellipse((best[0] - 5, best[1] - 5, best[0] + 5, best[1] + 5), outline="black", width=2)
    judge = f"{report['judge']}{' / 100' if scale != 1 else ''}"
    names = {"value": judge, "identity": "identity distance", "leak": "change outside the face"}
    for number, (key, name) in enumerate(names.items()):
        draw.text((left + 8 + 170 * number, SIZE[1] - 8), name, fill=COLOURS[key], font=font, anchor="ls")
    verdict = "target reached" if report["reached"] else "target not reached"
    draw.text((right - 4, above - 4), f"{verdict}; dashed: target and budgets", fill="black", font=font, anchor="rs")
    return np.asarray(canvas)
