"""A studio in a process of its own and a headless Chromium in front of it, for the end-to-end tests."""

import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
STEPS = 4
WAIT = 60_000  # milliseconds, on a machine that does other things as well

# Put in front of the studio's process: it writes down every address outside this machine that anything asks for.
WATCH = """
import os, socket
def noted(name, real):
    def run(self, address, *rest):
        host = address[0] if isinstance(address, tuple) else ""
        if host and host not in ("127.0.0.1", "::1", "localhost", "0.0.0.0"):
            open(os.environ["OUTSIDE"], "a").write(f"{name} {address}\\n")
        return real(self, address, *rest)
    return run
socket.socket.connect = noted("connect", socket.socket.connect)
socket.socket.connect_ex = noted("connect_ex", socket.socket.connect_ex)
"""


def require_chromium():
    """Skip where there is no Chromium; in CI that is a failure."""
    if CHROMIUM is None:
        reason = "no Chromium here; as root: apt-get install chromium"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)


@contextmanager
def studio(folder, *options):
    """Run `invertigo studio` with its temporary files below `folder`; yields its address."""
    with served(folder, "studio", "--steps", str(STEPS), *options) as address:
        yield address


@contextmanager
def served(folder, *arguments):
    """Run a command that serves a page, with its temporary files below `folder`; yields the page's address."""
    watch, outside = folder / "watch", folder / "outside.txt"
    watch.mkdir(parents=True)
    (watch / "sitecustomize.py").write_text(WATCH)
    (folder / "tmp").mkdir()
    command = [sys.executable, "cli.py", *arguments, "--port", "0", "--no-browser"]
    paths = os.pathsep.join(filter(None, [str(watch), os.environ.get("PYTHONPATH", "")]))
    environment = {**os.environ, "PYTHONPATH": paths, "OUTSIDE": str(outside), "TMPDIR": str(folder / "tmp"),
                   "OMP_NUM_THREADS": "1"}  # fmt: skip
    with open(folder / "log.txt", "w") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, env=environment)
        try:
            yield _address(process, folder / "log.txt")
        finally:
            process.terminate()
            process.wait(timeout=30)


def _address(process, log):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if found := re.search(r"at (http://\S+?)/? ", log.read_text()):
            return found[1]
        time.sleep(0.1)
    raise AssertionError(f"the page was not served: {log.read_text()}")


@contextmanager
def chromium():
    """Open a browser with an empty profile."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=WAIT)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, headless=True)
        try:
            yield browser
        finally:
            browser.close()


class Tab:
    """What a person does in one tab.

    Parts of a page change one after the other, so what it shows is expected (`expect(tab.caption)`), not asked once."""

    def __init__(self, browser, address, **context):
        self.requests, self.errors = [], []
        self.context = browser.new_context(accept_downloads=True, **context)
        self.page = self.context.new_page()
        self.page.set_default_timeout(WAIT)
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(address)
        self.page.locator(".hint").wait_for()

    def upload(self, path):
        self.page.locator("#upload input[type=file]").set_input_files(str(path))

    def load(self, path):
        self.upload(path)
        self.page.get_by_text(f"{Path(path).name}: ").wait_for()

    def invert(self):
        self.page.locator("#invert").click()
        self.page.get_by_text("now move a slider").wait_for()

    @property
    def caption(self):
        return self.page.locator("#view .caption")

    def slider(self, name):
        return self.page.get_by_label(f"range slider for {name}", exact=True)

    def set(self, name, value):
        """Type a strength beside a slider, and wait until the whole photo has changed."""
        before = self.page.locator("#view .compare img").first.get_attribute("src")
        self.page.get_by_label(f"number input for {name}", exact=True).fill(str(value))
        self.page.keyboard.press("Tab")
        self.page.wait_for_function(
            "before => document.querySelector('#view .compare img').src !== before", arg=before, polling=50
        )

    @property
    def message(self):
        return self.page.locator("#message")

    def download(self, link, folder):
        with self.page.expect_download() as waiting:
            self.page.get_by_role("link", name=link, exact=True).click()
        path = Path(folder) / waiting.value.suggested_filename
        waiting.value.save_as(path)
        return path

    def close(self):
        self.context.close()


def get(url, **headers):
    """Return status and body, whatever they are."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
