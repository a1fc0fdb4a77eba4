"""The contact sheet of a batch: what it shows, what it must not run, and how large it gets."""

import base64
import io
import re
import tracemalloc
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import cli
from editing.codes import latent_of_code
from editing.config import ReportConfig
from editing.report import SIDE, write_report
from inversion.batch.inputs import MANIFEST, Input
from inversion.batch.items import Result
from inversion.batch.manifest import Manifest
from inversion.latents import save_latent
from stylegan_core.console import Console
from stylegan_core.generate import generate_ws
from stylegan_core.images import write_png

EVIL = '"><script>document.title="hacked"</script>'


class Cells(HTMLParser):
    """Collects rows as lists of texts, the pictures, and the tags."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.pictures, self.tags, self.in_cell = [], [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.in_cell = True
        if tag == "img":
            self.pictures.append(dict(attrs)["src"])

    def handle_endtag(self, tag):
        self.in_cell = self.in_cell and tag not in ("td", "th")

    def handle_data(self, data):
        if self.in_cell:
            self.rows[-1][-1] += data


def fill(out, results, faces=True):
    """Enter items into a new manifest: name -> (metrics, error)."""
    out.mkdir(parents=True)
    manifest = Manifest(out / MANIFEST)
    manifest.register([Input(f"/photos/{name}.png", name) for name in results], "key", out, 8, 1)
    items = [item for chunk in manifest.pending() for item in chunk]
    names = ("face0/aligned.png", "face0/edited.png") if faces else ()
    outputs = dict.fromkeys(names, "0" * 64)
    manifest.record(
        Result(item.id, error, metrics=metrics, outputs={} if error else outputs, seconds=1.25)
        for item, (metrics, error) in zip(items, results.values(), strict=True)
    )
    manifest.close()


def draw(path, colour, side=64):
    write_png(path, np.full((side, side, 3), colour, np.uint8))


@pytest.fixture
def sheet(tmp_path):
    """The report of three photos, one of which failed, and whose names and errors are hostile."""
    out = tmp_path / "out"
    results = {
        "plain": ({"faces": 1, "psnr": 9.5}, ""),
        EVIL.replace("/", ""): ({"faces": 1, "psnr": 22.125}, ""),
        "broken": ({}, f"/photos/broken.png: {EVIL} is no photo"),
    }
    fill(out, results)
    for name in results:
        draw(out / name / "face0" / "aligned.png", (200, 0, 0))
        draw(out / name / "face0" / "edited.png", (0, 0, 200), side=256)
    result = CliRunner().invoke(cli.main, ["report", str(out)])
    assert result.exit_code == 0, result.output
    assert "photos: 3 of 3, 1 failed" in result.output
    assert "3 photos (2 done, 1 failed)" in result.output
    return out / "report.html"


def colour(uri):
    data = base64.b64decode(uri.removeprefix("data:image/jpeg;base64,"))
    with Image.open(io.BytesIO(data)) as image:
        assert max(image.size) <= SIDE
        return np.asarray(image).reshape(-1, 3).mean(axis=0)


def test_rows_hold_figures_pictures_and_failures_as_the_manifest_has_them(sheet):
    page = Cells(sheet.read_text())
    assert page.rows[0] == ["photo", "before and after", "state", "faces", "psnr", "seconds"]
    assert page.rows[1] == ["plain", "", "done", "1", "9.5", "1.2"]
    assert page.rows[2][0] == EVIL.replace("/", "")
    assert page.rows[2][3:] == ["1", "22.12", "1.2"]
    assert page.rows[3] == ["broken", f"/photos/broken.png: {EVIL} is no photo", "failed", "", "", "1.2"]
    assert "2 done, 1 failed" in sheet.read_text()
    assert len(page.pictures) == 4
    for before, after in (page.pictures[:2], page.pictures[2:]):
        assert np.abs(colour(before) - (200, 0, 0)).max() < 3
        assert np.abs(colour(after) - (0, 0, 200)).max() < 3


def test_nothing_in_it_comes_from_elsewhere_or_from_a_name(sheet):
    text = sheet.read_text()
    assert Cells(text).tags.count("script") == 1
    assert "<script>document" not in text
    assert not re.findall(r"https?://|@import|url\(", text)
    assert "default-src 'none'" in text


def test_an_edited_photo_is_shown_as_the_face_in_it(tmp_path, faces64):
    out, side = tmp_path / "out", 200
    fill(out, {"one": ({}, "")})
    photo = np.zeros((side, side, 3), np.uint8)
    photo[50:114, 80:144] = (0, 180, 0)
    quad = np.array([[80, 50], [80, 114], [144, 114], [144, 50]], float)
    latent = latent_of_code(faces64, generate_ws(faces64, [1]), {})
    save_latent(out / "one" / "face0" / "latent.npz", replace(latent, quad=quad))
    draw(out / "one" / "face0" / "aligned.png", (200, 0, 0))
    write_png(out / "one" / "photo_edited.png", photo)
    manifest = Manifest(out / MANIFEST)
    manifest.record([Result(1, outputs=dict.fromkeys(("face0/aligned.png", "photo_edited.png"), "0" * 64))])
    manifest.close()
    write_report(str(out), ReportConfig(), Console(quiet=True))
    _, after = Cells((out / "report.html").read_text()).pictures
    assert np.abs(colour(after) - (0, 180, 0)).max() < 4


def test_lost_pictures_cost_the_pictures_only(tmp_path):
    fill(tmp_path / "out", {"gone": ({"psnr": 1.0}, "")})
    write_report(str(tmp_path / "out"), ReportConfig(to=str(tmp_path / "r.html")), Console(quiet=True))
    page = Cells((tmp_path / "r.html").read_text())
    assert page.rows[1][:3] == ["gone", "", "done"]
    assert page.pictures == []


def test_memory_and_size_stay_bounded_with_thousands_of_photos(tmp_path):
    peaks, sizes = [], []
    for number in (200, 4000):
        out = tmp_path / str(number)
        fill(out, {f"photo{i}": ({"psnr": float(i)}, "") for i in range(number)})
        draw(out / "photo0" / "face0" / "aligned.png", (9, 9, 9))
        draw(out / "photo0" / "face0" / "edited.png", (9, 9, 9))
        tracemalloc.start()
        write_report(str(out), ReportConfig(pictures=1), Console(quiet=True))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        text = (out / "report.html").read_text()
        sizes.append(len(text) / number)
        assert text.count("<tr class") == number
        assert text.count("<img") == 2
        assert "pictures of the first 1 only" in text
    assert peaks[1] < peaks[0] * 1.2
    assert sizes[1] < 400  # bytes a photo without pictures


def test_a_folder_that_is_no_batch_is_refused(tmp_path):
    result = CliRunner().invoke(cli.main, ["report", str(tmp_path)])
    assert result.exit_code == 1
    assert "give the --out of a batch" in result.output


def test_it_sorts_and_filters_in_a_browser_without_a_network(sheet, browser):
    page = browser.new_page(offline=True)
    asked, errors = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(sheet.as_uri())

    def names():
        return page.locator("tbody tr:visible td:first-child").all_inner_texts()

    evil = EVIL.replace("/", "")
    assert names() == ["plain", evil, "broken"]
    page.get_by_role("button", name="psnr").click()
    assert names() == ["plain", evil, "broken"]  # 9.5 before 22.1, and what has none comes last
    page.get_by_role("button", name="psnr").click()
    assert names() == [evil, "plain", "broken"]
    page.get_by_role("button", name="photo").press("Enter")
    assert names() == [evil, "broken", "plain"]
    page.get_by_label("failed only").check()
    assert names() == ["broken"]
    page.get_by_label("failed only").uncheck()
    page.get_by_label("Find").fill("PLAI")
    assert names() == ["plain"]
    assert "1 of 3 shown" in page.inner_text("body")
    assert page.title() == "Batch out"
    page.close()
    assert errors == []
    assert not [url for url in asked if not url.startswith(("file:", "data:"))]
