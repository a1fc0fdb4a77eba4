"""Pieces of HTML with the pictures in them: nothing that the page shows is a file on the server."""

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from editing.studio.wording import page_words
from editing.studio.work import Kept

SHOWN_SIDE = 1200  # pixels of a photo in the page, at most
SMALL = 128  # pixels: pictures up to here are sent as they are, larger ones as JPEG
QUALITY = 90
CLOSE_UP = 0.96  # side of the close-up in units of the aligned face's, which has hair and chin in it
FACE_SHARE = 0.55  # of the aligned face's width that cheeks take

Picture = NDArray[np.uint8]  # [H, W, 3]


def data_uri(rgb: Picture, side: int = SHOWN_SIDE) -> str:
    """Return a picture as a data URI, shrunk to `side` pixels if it is larger."""
    image = Image.fromarray(np.ascontiguousarray(rgb))
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    kind, options = ("png", {}) if max(image.size) <= SMALL else ("jpeg", {"quality": QUALITY})
    image.save(file, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"


def figure(rgb: Picture, caption: str, side: int = SHOWN_SIDE) -> str:
    """Return a picture with its caption."""
    text = escape(caption)
    return f'<figure><img src="{data_uri(rgb, side)}" alt="{text}"><figcaption>{text}</figcaption></figure>'


def photo_with_faces(rgb: Picture, quads: dict[int, NDArray[np.float64]], name: str) -> str:
    """Return a photo with a numbered box around each face; `quads` are corners [4, 2] in its pixels."""
    height, width = rgb.shape[:2]
    line = max(width, height) / 220
    boxes = []
    for index, quad in quads.items():
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in quad)
        x, y = quad[0]
        boxes.append(
            f'<polygon points="{points}" stroke-width="{line:.1f}"/>'
            f'<text x="{max(x, 0):.1f}" y="{max(y - 1.5 * line, 8 * line):.1f}" '
            f'font-size="{7 * line:.1f}">face{index}</text>'
        )
    count = "1 face" if len(quads) == 1 else f"{len(quads)} faces"
    return (
        f'<div class="faces"><img src="{data_uri(rgb)}" alt="{escape(name)} with {count} marked">'
        f'<svg viewBox="0 0 {width} {height}" aria-hidden="true">{"".join(boxes)}</svg></div>'
        f'<p class="caption">{escape(name)}: {count} found</p>'
    )


def before_after(
    before: Picture, after: Picture, caption: str, at: int = 50, over: str = "",
    names: tuple[str, str] = ("before", "after"),
) -> str:  # fmt: skip
    """Return two pictures of one size, one over the other, with a handle that uncovers more or less of the second.

    The handle stands `at` so many percent of the width; a button shows the first for as long as it is held, as a long
    press on the picture does (studio.js). `over` is laid over both, `names` says what they are."""
    height, width = before.shape[:2]
    first, second = map(escape, names)
    hold, alt = ("the photo before", "after the edit") if names[0] == "before" else (first, second)
    return (
        f'<div class="compare" style="--at:{at}%;aspect-ratio:{width}/{height};--ratio:{width / height:.4f}">'
        f'<img src="{data_uri(after)}" alt="{alt}"><img class="before" src="{data_uri(before)}" alt="{first}">'
        f'<span class="tag left" aria-hidden="true">{first}</span><span class="tag" aria-hidden="true">{second}</span>'
        f'<input type="range" min="0" max="100" value="{at}" aria-label="How much of the photo is shown unedited" '
        f"oninput=\"this.parentNode.style.setProperty('--at', this.value + '%')\">{over}</div>"
        f'<button type="button" class="hold">Hold to see {hold}</button><p class="caption">{escape(caption)}</p>'
    )


def beside_the_face(quad: NDArray[np.float64], part: tuple[slice, slice]) -> int:
    """Return where, in percent of the width of a part of the photo, the face with the corners [4, 2] begins."""
    left, right = part[1].start, part[1].stop
    edge = quad[:, 0].mean() - np.ptp(quad[:, 0]) * FACE_SHARE / 2
    return int(np.clip(100 * (edge - left) / (right - left), 4, 96))


def face_pair(inverted: Picture, edited: Picture) -> str:
    """Return the aligned face without and with the edit."""
    return f'<div class="pair">{figure(inverted, "inversion")}{figure(edited, "edited")}</div>'


def search_view(targets: Sequence[Picture], found: Sequence[Picture], step: int, total: int, loss: float) -> str:
    """Return the targets beside the codes so far, and how far the search is."""
    rows = "".join(
        f'<div class="pair">{figure(target, "photo")}{figure(render, "found so far")}</div>'
        for target, render in zip(targets, found, strict=True)
    )
    words = f"step {step} of {total}" + (f", loss {loss:.3f}" if step else ": starting")
    bar = f'<progress max="{total}" value="{step}" aria-label="steps done"></progress>'
    return f'{bar}<p class="caption">{words}</p>{rows}'


def strip(pictures: Sequence[Picture], strengths: Sequence[float], name: str) -> str:
    """Return one face at several strengths; each picture is a button that sets the slider."""
    cells = "".join(
        f'<button type="button" class="cell" data-strength="{strength:g}" '
        f'aria-label="set {escape(name)} to {strength:g}">{figure(picture, f"{strength:g}")}</button>'
        for picture, strength in zip(pictures, strengths, strict=True)
    )
    return f'<div class="strip">{cells}</div>'


def gallery(kept: Iterable[Kept]) -> str:
    """Return the edits of a session, the newest first: each comes back when it is pressed, and is dragged or taken by a
    button as the next photo."""
    cells = [
        f'<figure draggable="true" data-kept="{one.number}"><button type="button" data-bring="{one.number}" '
        f'aria-label="bring back {escape(one.label)}"><img src="{data_uri(one.picture)}" alt="" draggable="false">'
        f"<figcaption>{escape(one.label)}</figcaption></button>"
        f'<button type="button" data-use="{one.number}" aria-label="use {escape(one.label)} as the photo">'
        "Use as photo</button></figure>"
        for one in kept
    ]
    if not cells:
        return '<p class="none">Edits come here as they are made.</p>'
    return f'<div class="gallery">{"".join(reversed(cells))}</div>'


def downloads(token: str, links: dict[str, str], heading: str = "Download") -> str:
    """Return the links to what can be downloaded: what it is -> how it is called."""
    items = "".join(
        f'<a class="download" href="./download/{token}/{what}" download>{escape(text)}</a>'
        for what, text in links.items()
    )
    return f'<div class="downloads"><span>{escape(heading)}</span>{items}</div>'


def sentence(text: str, error: bool = False) -> str:
    """Return a line of news in the page's words, which screen readers read out."""
    kind, role = ("error", "alert") if error else ("news", "status")
    return f'<p class="{kind}" role="{role}">{escape(page_words(text))}</p>' if text else ""


def close_up(quad: NDArray[np.float64], height: int, width: int) -> tuple[slice, slice]:
    """Return the part of a photo around the corners [4, 2] of a face."""
    centre, reach = (quad.min(axis=0) + quad.max(axis=0)) / 2, np.ptp(quad, axis=0).max() / 2 * CLOSE_UP
    left, top = np.maximum(centre - reach, 0).astype(int)
    right, bottom = np.minimum(centre + reach, [width, height]).astype(int)
    return slice(top, max(bottom, top + 1)), slice(left, max(right, left + 1))
