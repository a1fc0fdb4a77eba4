"""Make the gallery of docs/failures.md: what comes of photos on which it does not work, and what is said of them.

    python docs/failures.py

Every picture is made of the sample photo: small, covered, upside down, and with strengths that are too high."""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

DOCS = Path(__file__).resolve().parent
HEAD = (110, 0, 390, 280)  # left, top, right, bottom of the sample's head
EDIT = ("--transfer", "smile:-1")


def photos(sample: Image.Image) -> dict[str, tuple[Image.Image, tuple[str, ...]]]:
    """Return the photos of the gallery by name, and the edits they get."""
    head = sample.crop(HEAD)
    mouth, eyes = np.asarray(head).copy(), np.asarray(head).copy()
    mouth[122:166, 84:160] = (70, 110, 170)
    eyes[88:116, 68:172] = (18, 18, 18)
    small = head.resize((56, 56), Image.Resampling.LANCZOS)
    return {
        "mouth": (Image.fromarray(mouth), EDIT), "eyes": (Image.fromarray(eyes), ("--transfer", "age:2")),
        "small": (small, EDIT), "down": (head.rotate(180), EDIT),
        "strong": (head, ("--transfer", "smile:-4")),
    }  # fmt: skip


def main() -> None:
    """Run `edit` on every photo, print what it says, and lay before and after out."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        invertigo("sample", str(folder / "sample.png"))
        rows = []
        for name, (photo, edit) in photos(Image.open(folder / "sample.png").convert("RGB")).items():
            photo.save(folder / f"{name}.png")
            said = invertigo("edit", f"{name}.png", *edit, "--out", "out", cwd=folder)
            print(name, " ".join(edit), *[line for line in said.splitlines() if line.startswith("warning")], sep="\n  ")
            rows.append([photo, Image.open(folder / "out" / name / "face0" / "photo_edited.png").convert("RGB")])
    canvas = Image.new("RGB", (len(rows) * 165 - 5, 325), "white")
    for column, pair in enumerate(rows):
        for row, picture in enumerate(pair):
            picture = picture.resize((round(160 * picture.width / picture.height), 160), Image.Resampling.LANCZOS)
            canvas.paste(picture.crop((0, 0, min(160, picture.width), 160)), (column * 165, row * 165))
    canvas.save(DOCS / "images" / "failures.png")


def invertigo(*words: str, cwd: Path | None = None) -> str:
    """Run a command and return what it prints on standard error."""
    command = [sys.executable, str(DOCS.parent / "cli.py"), *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True).stderr


if __name__ == "__main__":
    main()
