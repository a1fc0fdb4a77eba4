"""The task of `invertigo report`: a batch's results as one HTML file, which needs nothing beside itself."""

import base64
import io
from collections.abc import Iterator
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from editing.batch import open_manifest
from editing.config import ReportConfig
from editing.edit import warnings_of
from inversion.faces.align import align_face
from inversion.latents import load_latent
from stylegan_core.console import Console
from stylegan_core.errors import ToolkitError
from stylegan_core.files import write_atomic
from stylegan_core.images import read_photo, to_uint8

SIDE = 96  # pixels of a thumbnail
QUALITY = 82
MAX_FACES = 4  # of a photo
PAGE = Path(__file__).with_name("report.html")


def write_report(out: str, config: ReportConfig, console: Console) -> None:
    """Write the contact sheet of a batch's OUT, a row a photo; only one row at a time is in memory."""
    manifest = open_manifest(out)
    try:
        counts, metrics = manifest.summary(), manifest.metrics()
        target, total = Path(config.to or Path(out) / "report.html"), sum(counts.values())
        head, foot = _page(Path(out), counts, metrics, config).split("@ROWS@")

        def write(file: BinaryIO) -> None:
            failed = 0
            file.write(head.encode())
            with console.counter("photos", total) as update:
                for number, item in enumerate(manifest.items(), start=1):
                    row = _row(item, metrics, Path(out) if number <= config.pictures else None)
                    file.write(row.encode("utf-8", "replace"))
                    failed += item["state"] == "failed"
                    update(number, failed)
            file.write(foot.encode())

        write_atomic(target, write)
    finally:
        manifest.close()
    told = ", ".join(f"{number} {state}" for state, number in counts.items()) or "no photo yet"
    console.say(f"{target}: {total} photos ({told}), {target.stat().st_size / 1e6:.1f} MB")


def _page(out: Path, counts: dict[str, int], metrics: list[str], config: ReportConfig) -> str:
    """Return the page with its title and columns filled in, and a place for the rows."""
    summary, total = ", ".join(f"{number} {state}" for state, number in counts.items()), sum(counts.values())
    if total > config.pictures:
        summary += f"; pictures of the first {config.pictures} only"
    columns = ["photo", "before and after", "state", *metrics, "seconds"]
    head = "".join(
        f'<th scope="col">{escape(name)}</th>'
        if name == "before and after"
        else f'<th scope="col"><button type="button">{escape(name.replace("_", " "))}</button></th>'
        for name in columns
    )
    texts = {"TITLE": f"Batch {out.resolve().name}", "SUMMARY": summary or "no photo yet"}
    page = PAGE.read_text(encoding="utf-8")
    for name, text in texts.items():
        page = page.replace(f"@{name}@", escape(text))
    return page.replace("@HEAD@", head)


def _row(item: dict[str, Any], metrics: list[str], out: Path | None) -> str:
    """Return the row of one photo; `out` is None where it gets no pictures."""
    faces = "".join(_faces(out / item["name"], item["outputs"])) if out is not None else ""
    measured = "".join(_number(item["metrics"].get(name)) for name in metrics)
    name, state = escape(item["name"]), escape(item["state"])
    seen = f'<p class="error">{escape(item["error"])}</p>' if item["error"] else f'<div class="faces">{faces}</div>'
    return (
        f'<tr class="{state}"><td class="name" title="{escape(item["path"])}">{name}</td><td>{seen}</td>'
        f"<td>{state}</td>{measured}{_number(round(item['seconds'], 1))}</tr>\n"
    )


def _number(value: Any) -> str:
    if not isinstance(value, int | float):
        return "<td></td>"
    return f'<td data-value="{value}">{value:.4g}</td>'


def _faces(folder: Path, outputs: dict[str, str]) -> Iterator[str]:
    """Yield before and after of each face; what cannot be read any more is left out."""
    names = sorted({name.split("/")[0] for name in outputs if name.startswith("face")}, key=lambda n: (len(n), n))
    for name in names[:MAX_FACES]:
        with suppress(ToolkitError):
            before = read_photo(folder / name / "aligned.png").rgb
            after = _after(folder, name, outputs, before.shape[0])
            yield f"<figure>{_thumbnail(before, f'{name} before')}{_thumbnail(after, f'{name} after')}</figure>"
            doubts = warnings_of(load_latent(folder / name / "latent.npz"))
            yield "".join(f'<p class="doubt">{escape(text)}</p>' for text in doubts)


def _after(folder: Path, name: str, outputs: dict[str, str], side: int) -> NDArray[np.uint8]:
    """Return the face as it is now in the photo; without an edited photo the edited render, or the inversion."""
    for photo in (f"{name}/photo_edited.png", "photo_edited.png"):
        quad = load_latent(folder / name / "latent.npz").quad if photo in outputs else None
        if quad is not None:
            return to_uint8(align_face(read_photo(folder / photo).rgb, quad, side))[0]
    render = "edited.png" if f"{name}/edited.png" in outputs else "inverted.png"
    return read_photo(folder / name / render).rgb


def _thumbnail(rgb: NDArray[np.uint8], text: str) -> str:
    image = Image.fromarray(np.ascontiguousarray(rgb))
    if max(image.size) > SIDE:
        image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=QUALITY)
    data = base64.b64encode(file.getvalue()).decode()
    return f'<img loading="lazy" src="data:image/jpeg;base64,{data}" alt="{escape(text)}">'
