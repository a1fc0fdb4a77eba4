"""Run the tutorial: its commands in a folder, its pictures into docs/images.

    python docs/tutorial.py

The report's picture needs Chromium and `pip install playwright`. tests/docs runs the same commands."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

DOCS = Path(__file__).resolve().parent
BLOCK = re.compile(r"^```(bash|toml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RECIPE = "recipe.toml"
PROGRAMS = {"invertigo": "main", "invert": "invert_main", "edit": "edit_main"}


def blocks() -> list[tuple[str, str]]:
    """Return the fenced blocks that are run, in order: their language and text."""
    return [(found[1], found[2]) for found in BLOCK.finditer((DOCS / "tutorial.md").read_text())]


def run_blocks(chosen: Sequence[tuple[str, str]], folder: Path) -> None:
    """Run the shell's blocks in `folder` and write the recipe there; raises `CalledProcessError` where one fails."""
    programs = folder / ".programs"
    programs.mkdir(parents=True, exist_ok=True)
    for name, function in PROGRAMS.items():
        script = programs / name
        lines = [f"#!{sys.executable}", "import sys", f"sys.path.insert(0, {str(DOCS.parent)!r})", "import cli"]
        script.write_text("\n".join([*lines, 'if __name__ == "__main__":', f"    cli.{function}()", ""]))
        script.chmod(0o755)
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    for kind, text in chosen:
        if kind == "toml":
            (folder / RECIPE).write_text(text)
        else:
            subprocess.run(["bash", "-e", "-c", text], cwd=folder, env=environment, check=True)


def take_pictures(folder: Path, images: Path) -> None:
    """Make the tutorial's pictures of what its commands wrote."""
    photo, face = folder / "astronaut.png", Path("astronaut/face0")
    pair(photo, folder / "serious" / face / "photo_edited.png", images / "tutorial-serious.png")
    pair(photo, folder / "older" / face / "photo_edited.png", images / "tutorial-older.png")
    shutil.copyfile(folder / "crossed" / face / "comparison.png", images / "tutorial-crossed.png")
    shutil.copyfile(folder / "inverted" / face / "comparison.png", images / "tutorial-inverted.png")
    shutil.copyfile(folder / "forty" / face / "strength.png", images / "tutorial-strength.png")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1000, "height": 420})
        page.goto((folder / "done" / "report.html").as_uri())
        page.screenshot(path=images / "tutorial-report.png")
        browser.close()


def pair(before: Path, after: Path, target: Path) -> None:
    """Lay the upper parts of two photos side by side."""
    pictures = [Image.open(path).convert("RGB").crop((90, 0, 400, 280)) for path in (before, after)]
    canvas = Image.new("RGB", (630, 280), "white")
    for number, picture in enumerate(pictures):
        canvas.paste(picture, (320 * number, 0))
    canvas.save(target)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        every = blocks()
        # The last block repairs the broken photo; the report's picture shows it broken.
        run_blocks(every[:-1], Path(temporary))
        take_pictures(Path(temporary), DOCS / "images")
        run_blocks(every[-1:], Path(temporary))
