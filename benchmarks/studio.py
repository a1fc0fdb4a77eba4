"""The studio as a browser sees it: how long a slider waits for its picture, and the pictures of its documentation.

    python benchmarks/studio.py [--images docs/images [--only-images]] [--chromium /usr/bin/chromium]

Starts the studio and a headless Chromium (`pip install 'invertigo[studio]' playwright`), inverts the sample photo and
moves the smile slider by keys. Seconds run from the key press to the moment when the new picture is decoded;
the whole photo waits 0.35 s for further presses."""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright
from skimage import data

MOVES = 40
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
DESK, PHONE = {"width": 1200, "height": 860}, {"width": 390, "height": 844}
# Resolves with the milliseconds from a key press to the decoded picture.
WAIT_FOR_PICTURE = """selector => new Promise(done => {
  const seen = document.querySelector(selector)?.src;
  document.addEventListener("keydown", () => {
    const start = performance.now();
    const look = async () => {
      const image = document.querySelector(selector);
      if (!image || image.src === seen) return requestAnimationFrame(look);
      await image.decode();
      done(performance.now() - start);
    };
    look();
  }, {once: true, capture: true});
})"""


@contextmanager
def studio(*options):
    """Run the studio; yields its address and its process."""
    command = [sys.executable, "-m", "cli", "studio", "--port", "0", "--no-browser", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        began = time.perf_counter()
        found = next(re.search(r"http://\S+", line) for line in process.stdout if "the studio is at" in line)
        print(f"start of the studio              {time.perf_counter() - began:7.2f} s")
        yield found[0], process
    finally:
        process.terminate()
        process.wait(timeout=30)


def resident(process) -> float:
    """Return the megabytes of memory that a process holds, on Linux."""
    status = Path(f"/proc/{process.pid}/status")
    found = re.search(r"VmRSS:\s+(\d+)", status.read_text()) if status.exists() else None
    return int(found[1]) / 1024 if found else float("nan")


def processor_seconds(process) -> float:
    """Return the processor seconds that a process took so far, on Linux."""
    path = Path(f"/proc/{process.pid}/stat")
    if not path.exists():
        return float("nan")
    user, system = path.read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


@contextmanager
def timed(label: str, process):
    """Print how long something takes, and how much of that the studio computed: on a busy machine that says more."""
    began, used = time.perf_counter(), processor_seconds(process)
    yield
    seconds, used = time.perf_counter() - began, processor_seconds(process) - used
    print(f"{label:<32} {seconds:7.2f} s, {used:.2f} s of a processor")


def timed_moves(page, selector: str, number: int) -> list[float]:
    """Press an arrow key `number` times; return the seconds until the picture at `selector` changes."""
    seconds, slider = [], page.locator(".bipolar:visible input[type=range]").first
    for move in range(number):
        page.evaluate(f"() => {{ window.waiting = ({WAIT_FOR_PICTURE})({selector!r}) }}")
        slider.press("ArrowRight" if move < number // 2 else "ArrowLeft")
        seconds.append(page.evaluate("window.waiting") / 1000)
        page.wait_for_timeout(1200)  # so that the whole photo of the last move is not measured along
    return seconds


def show(label: str, seconds: list[float]) -> None:
    """Print the median, the worst tenth's bound and the maximum."""
    ordered = sorted(seconds)
    worst = ordered[int(len(ordered) * 0.9)]
    print(f"{label:<32} {statistics.median(ordered):7.3f} s median, {worst:.3f} s 90 %, {ordered[-1]:.3f} s at most")


def measure(browser, address: str, process) -> None:
    """Print how long things take in the page."""
    page = browser.new_page(viewport=DESK)
    with timed("page shown", process):
        page.goto(address)
        page.locator(".hint").wait_for()
    with timed("sample photo, face found", process):
        page.locator("#sample").click()
        page.locator(".faces").wait_for()
    with timed("first slider", process):
        page.locator("#invert").click()
        page.locator(".compare").wait_for(timeout=600_000)
    page.get_by_text("now move a slider").wait_for(timeout=600_000)
    show("slider to face", timed_moves(page, "#face figure:nth-child(2) img", MOVES))
    show("slider to whole photo", timed_moves(page, "#view .compare img", MOVES // 2))
    with timed("neutral expression put on", process):
        change(page, "#neutral")
    page.get_by_label("Points", exact=True).check()
    with timed("one point dragged", process):
        set_point(page)
    print(f"memory of the studio             {resident(process):7.0f} MB")
    page.close()


def set_point(page) -> None:
    """Press where a corner of the astronaut's mouth is, and then where it shall go."""
    drawing = page.locator("#view svg.placing")
    drawing.wait_for()
    box = drawing.bounding_box()
    number = drawing.locator("circle.to").count()
    for x, y in ((0.477, 0.277), (0.492, 0.262)):
        drawing.click(position={"x": x * box["width"], "y": y * box["height"]})
    page.locator(f"#view circle.to >> nth={number}").wait_for(timeout=600_000)


def change(page, button: str) -> None:
    """Press a button that edits, and wait until the photo is another one."""
    caption = page.locator("#view .caption").inner_text()
    page.locator(button).click()
    page.wait_for_function(
        "b => document.querySelector('#view .caption')?.innerText !== b", arg=caption, timeout=600_000
    )


def open_fold(page, name: str) -> None:
    """Open a fold of the panel and bring it into view."""
    fold = page.get_by_role("button", name=re.compile(f"^{name}"))
    fold.click()
    fold.scroll_into_view_if_needed()


def take_pictures(browser, address: str, folder: Path) -> None:
    """Take the screenshots of docs/studio.md."""
    folder.mkdir(parents=True, exist_ok=True)
    two = folder / "two.png"
    portrait = data.astronaut()[:400, 60:420]
    Image.fromarray(np.concatenate([portrait, portrait[:, ::-1]], axis=1)).save(two)
    page = browser.new_page(viewport=DESK)

    def shoot(name: str, height: int | None = None) -> None:
        page.wait_for_timeout(4000)  # the whole photo comes after the last key, and after what came before it
        clip = {"clip": {"x": 0, "y": 0, "width": page.viewport_size["width"], "height": height}} if height else {}
        page.screenshot(path=folder / f"{name}.png", **clip)

    page.goto(address)
    page.locator("#upload input[type=file]").set_input_files(two)
    page.locator(".faces").wait_for()
    two.unlink()
    shoot("studio-faces", 620)
    page.locator("#sample").click()
    page.get_by_text("astronaut.png:").wait_for()
    open_fold(page, "How to search")
    page.get_by_label("Method").click()
    page.get_by_role("option", name="hybrid").click()
    page.get_by_label("number input for Steps at most").fill("20")
    page.keyboard.press("Tab")
    page.locator("#invert").click()
    page.get_by_text("the search behind it is at step").wait_for()
    page.evaluate("window.scrollTo(0, 0)")
    page.wait_for_timeout(1500)
    page.screenshot(path=folder / "studio-search.png", clip={"x": 0, "y": 0, "width": 1200, "height": 620})
    page.get_by_text("now move a slider").wait_for(timeout=600_000)
    number = page.locator(".bipolar:visible input[type=number]").first
    number.fill("-0.9")
    page.keyboard.press("Tab")
    shoot("studio")
    open_fold(page, "Strength sweep")
    page.locator("#draw").click()
    page.locator(".strip img").first.wait_for()
    page.wait_for_timeout(500)
    page.locator("#sweep").screenshot(path=folder / "studio-sweep.png")
    open_fold(page, "Strength sweep")
    open_fold(page, "Looks")
    for name in ("Mouth", "Eyes", "Head"):
        open_fold(page, name)
    page.evaluate("window.scrollTo(0, 0)")
    page.locator("#keep-a").click()
    page.get_by_text("kept as A").wait_for()
    change(page, "#neutral")
    shoot("studio-dials")
    page.locator("#keep-b").click()
    page.get_by_text("kept as B").wait_for()
    page.locator("#zoom input").check()
    page.locator("#compare input").check()
    page.get_by_text(re.compile("^A: .*; B: ")).wait_for()
    shoot("studio-compare", 860)
    page.locator("#compare input").uncheck()
    change(page, "#reset")
    page.locator("#zoom input").uncheck()
    for name in ("Mouth", "Eyes", "Head"):
        open_fold(page, name)
    page.get_by_label("Points", exact=True).check()
    set_point(page)
    page.locator("#zoom input").check()
    open_fold(page, "Points")
    page.evaluate("window.scrollTo(0, 0)")
    shoot("studio-points")
    page.get_by_label("Points", exact=True).uncheck()
    page.get_by_role("tab", name="History").click()
    shoot("studio-gallery")
    page.set_viewport_size(PHONE)
    page.get_by_role("tab", name="Edit").click()
    page.locator("#region").scroll_into_view_if_needed()
    page.mouse.wheel(0, 120)
    shoot("studio-phone")
    page.close()


def main() -> None:
    """Measure, and take pictures if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, help="also write screenshots into this folder")
    parser.add_argument("--only-images", action="store_true", help="measure nothing")
    parser.add_argument("--chromium", default=shutil.which("chromium"), help="the browser's program")
    options = parser.parse_args()
    with studio() as (address, process), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=options.chromium, args=FLAGS, headless=True)
        if not options.only_images:
            measure(browser, address, process)
        if options.images:
            take_pictures(browser, address, options.images)
        browser.close()


if __name__ == "__main__":
    main()
