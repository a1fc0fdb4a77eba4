"""The studio end to end: a headless Chromium does what a person does, and the files are compared with the CLI's."""

import os
import re
import time
import urllib.parse
from pathlib import Path

import numpy as np
import pytest
from browser import STEPS, Tab, get
from click.testing import CliRunner
from PIL import Image
from playwright.sync_api import expect

import cli
from editing.pipeline import EditPipeline
from editing.recipe import load_recipe
from inversion.batch.items import Item
from inversion.latents import load_latent
from stylegan_core.assets import DEFAULT_GENERATOR
from stylegan_core.catalogue import look_up


def run(*words):
    result = CliRunner().invoke(cli.main, [str(word) for word in words])
    assert result.exit_code == 0, result.output


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.fixture(scope="module")
def by_cli(astronaut_file, tmp_path_factory, one_thread):
    """The same edit by commands: the folder that `edit` wrote."""
    out = tmp_path_factory.mktemp("cli")
    run("invert", astronaut_file, "--out", out / "inverted", "--steps", STEPS)
    latent = out / "inverted" / "astronaut" / "face0" / "latent.npz"
    run("edit", latent, "--transfer", "smile:-0.8", "--out", out / "edited")
    return out / "edited" / "astronaut" / "face0"


def test_what_the_page_makes_is_what_the_commands_make(tab, astronaut_file, by_cli, tmp_path):
    tab.load(astronaut_file)
    expect(tab.caption).to_have_text("astronaut.png: 1 face found")
    tab.invert()
    tab.set("smile", -0.8)
    photo = tab.download("Edited photo", tmp_path)
    assert photo.name == "astronaut_edited.png"
    assert (pixels(photo) == pixels(by_cli / "photo_edited.png")).all()
    assert photo.read_bytes() == (by_cli / "photo_edited.png").read_bytes()
    assert b"compositeWithTrainedAlgorithmicMedia" in photo.read_bytes()
    assert (pixels(tab.download("Edited face", tmp_path)) == pixels(by_cli / "edited.png")).all()
    latent, expected = load_latent(tab.download("Latent", tmp_path)), load_latent(by_cli / "latent.npz")
    assert (latent.ws == expected.ws).all()
    assert (latent.origin == expected.origin).all()
    assert latent.report["photo"]["path"] == "astronaut.png"

    recipe = tab.download("Recipe", tmp_path)
    item = Item(1, str(astronaut_file), "astronaut")
    (result,) = EditPipeline(load_recipe(recipe)).open()([item], tmp_path)
    assert result.done, result.error
    assert (pixels(tmp_path / "astronaut" / "face0" / "photo_edited.png") == pixels(photo)).all()


def shown(tab, before):
    """Wait for another caption than `before` below an edited photo, and return it."""
    expect(tab.caption).to_have_text(re.compile(r"pixels changed"))
    expect(tab.caption).not_to_have_text(before)
    return tab.caption.inner_text()


def test_undo_redo_and_history_bring_back_pictures_and_sliders(tab, astronaut_file):
    tab.load(astronaut_file)
    tab.invert()
    captions = [shown(tab, "nothing yet")]
    assert captions[0].startswith("0 of 262,144 pixels changed")
    tab.set("smile", 1)
    captions.append(shown(tab, captions[0]))
    tab.set("age", -0.5)
    captions.append(shown(tab, captions[1]))
    tab.page.locator("#undo").click()
    expect(tab.caption).to_have_text(captions[1])
    expect(tab.slider("smile")).to_have_value("1")
    expect(tab.slider("age")).to_have_value("0")
    tab.page.locator("#redo").click()
    expect(tab.caption).to_have_text(captions[2])
    expect(tab.slider("age")).to_have_value("-0.5")
    tab.page.get_by_role("tab", name="History").click()
    tab.page.get_by_label("0: the inversion").check()
    expect(tab.caption).to_have_text(captions[0])
    expect(tab.page.locator("#undo")).to_be_disabled()


def test_a_slider_moves_by_keyboard_and_shows_the_face_at_once(tab, astronaut_file):
    tab.load(astronaut_file)
    tab.invert()
    slider, face = tab.slider("smile"), tab.page.locator("#face img").nth(1)
    slider.focus()
    before = face.get_attribute("src")
    slider.press("ArrowRight")
    tab.page.wait_for_function("before => document.querySelectorAll('#face img')[1].src !== before", arg=before)
    for _ in range(9):
        slider.press("ArrowRight")
    tab.page.get_by_text(re.compile(r"[1-9][\d,]* of 262,144 pixels changed")).wait_for()
    expect(slider).to_have_value("0.5")
    tab.page.get_by_role("tab", name="History").click()
    expect(tab.page.get_by_label(re.compile(r"\d: smile 0\.5"))).to_be_checked()


def test_a_text_that_calls_itself_a_photo_is_refused_with_a_sentence(tab, tmp_path, astronaut_file):
    fake = tmp_path / "holiday.jpg"
    fake.write_text("<b>no</b> photo")
    tab.upload(fake)
    expect(tab.page.get_by_role("alert")).to_have_text(re.compile(r"^holiday\.jpg: not a readable image"))
    tab.load(astronaut_file)
    expect(tab.message).to_have_text("")


def test_two_tabs_at_once_do_not_mix(browser, tab, address, astronaut, astronaut_file, tmp_path, by_cli):
    mirrored = tmp_path / "mirrored.png"
    Image.fromarray(astronaut[:, ::-1]).save(mirrored)
    other = Tab(browser, address)
    tab.load(astronaut_file)
    other.load(mirrored)
    tab.page.locator("#invert").click()
    other.page.locator("#invert").click()
    for each in (tab, other):
        each.page.get_by_text("now move a slider").wait_for()
    other.set("smile", 1)
    tab.set("smile", -0.8)
    (tmp_path / "one").mkdir()
    mine, theirs = tab.download("Edited photo", tmp_path / "one"), other.download("Edited photo", tmp_path)
    assert (mine.name, theirs.name) == ("astronaut_edited.png", "mirrored_edited.png")
    assert (pixels(mine) == pixels(by_cli / "photo_edited.png")).all()
    outside = np.ones((512, 512), bool)
    outside[:230, 190:385] = False
    assert (pixels(theirs)[outside] == astronaut[:, ::-1][outside]).all()
    assert (pixels(theirs) != astronaut[:, ::-1]).any()
    other.close()


def test_a_closed_tab_leaves_no_file_and_no_download(browser, address, place, astronaut_file):
    def kept():
        folders = [*place.glob("tmp/invertigo-studio-*/sessions"), *place.glob("tmp/invertigo-studio-*/uploads")]
        # Folders of tabs closed before may go while this looks; `os.walk` passes over what is gone.
        files = (Path(root, name) for folder in folders for root, _, names in os.walk(folder) for name in names)
        return {path for path in files if size(path)}

    def size(path):
        try:
            return path.stat().st_size
        except FileNotFoundError:
            return 0

    before = kept()
    tab = Tab(browser, address)
    tab.load(astronaut_file)
    tab.invert()
    link = tab.page.get_by_role("link", name="Recipe", exact=True).get_attribute("href")
    link = urllib.parse.urljoin(f"{address}/", link)
    assert get(link)[0] == 200
    assert kept() - before
    tab.close()
    for _ in range(600):
        if kept() <= before and get(link)[0] == 404:
            break
        time.sleep(0.2)
    assert kept() <= before
    assert get(link)[0] == 404


def test_sliders_sleep_until_there_is_a_face_and_end_where_edits_break(tab, astronaut_file):
    tab.load(astronaut_file)
    tab.page.get_by_role("tab", name="Edit").click()
    expect(tab.slider("smile")).to_be_disabled()
    labels = tab.page.locator(".bipolar:visible label span")
    expect(labels.first).to_be_visible()  # the tab opens after it was pressed: the labels are there from here on
    shown = labels.all_inner_texts()
    order = [shown.index(name) for name in ("smile", "happy", "surprised", "age")]
    assert order == sorted(order)
    tab.page.get_by_role("tab", name="Photo").click()
    tab.invert()
    expect(tab.slider("smile")).to_be_enabled()
    low, high = look_up("smile", DEFAULT_GENERATOR).believable
    expect(tab.slider("smile")).to_have_attribute("min", f"{low:g}")
    expect(tab.slider("smile")).to_have_attribute("max", f"{high:g}")
    expect(tab.page.get_by_text("+ more masculine, - more feminine")).to_be_visible()


def test_the_divider_stands_beside_the_face_and_the_photo_before_shows_while_a_button_is_held(tab, astronaut_file):
    tab.load(astronaut_file)
    tab.invert()
    compare = tab.page.locator("#view .compare")
    assert float(compare.locator("input").get_attribute("value")) < 38  # her cheek begins at 160 of 512 pixels
    hold = tab.page.get_by_role("button", name="Hold to see the photo before")
    hold.dispatch_event("pointerdown")
    expect(compare).to_have_class("compare held")
    hold.dispatch_event("pointerup")
    expect(compare).to_have_class("compare")
