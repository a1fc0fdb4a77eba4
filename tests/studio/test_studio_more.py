"""More of the page, in Chromium: phone, camera, cancelling, several faces, another checkpoint."""

import re
from pathlib import Path

import numpy as np
import pytest
from browser import CHROMIUM, FLAGS, Tab
from PIL import Image
from playwright.sync_api import expect

from editing.operations.crossover import Crossover
from editing.operations.transfer import Transfer
from editing.recipe import load_recipe

pytestmark = pytest.mark.slow
FOREIGN = Path(__file__).resolve().parents[1] / "data" / "rosinality-32.pt"
CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]


@pytest.fixture
def two_faces(astronaut, tmp_path):
    portrait = astronaut[:400, 60:420]
    path = tmp_path / "two.png"
    Image.fromarray(np.concatenate([portrait, portrait[:, ::-1]], axis=1)).save(path)
    return path


def test_both_faces_of_a_photo_are_inverted_and_edited(tab, two_faces, tmp_path):
    tab.load(two_faces)
    expect(tab.caption).to_have_text("two.png: 2 faces found")
    tab.page.get_by_label("face1").check()
    tab.invert()
    tab.set("smile", -1)
    edited, before = (np.asarray(Image.open(path)) for path in (tab.download("Edited photo", tmp_path), two_faces))
    changed = (edited != before).any(axis=(0, 2))
    assert changed[:360].any()
    assert changed[360:].any()
    assert tab.download("Latent", tmp_path).suffix == ".zip"
    assert load_recipe(tab.download("Recipe", tmp_path)).invert.faces == "all"


def test_a_search_can_be_cancelled_and_started_again(tab, astronaut_file):
    tab.load(astronaut_file)
    tab.page.get_by_role("button", name="How to search").click()
    tab.page.get_by_label("number input for Steps at most").fill("1000")
    tab.page.keyboard.press("Tab")
    tab.page.locator("#invert").click()
    tab.page.get_by_text("the search behind it is at step").wait_for()
    expect(tab.slider("smile")).to_be_enabled()  # the encoder's guess can be edited meanwhile
    tab.page.get_by_role("tab", name="Photo").click()
    tab.page.locator("#cancel").click()
    tab.page.get_by_text("stopped; nothing was changed").wait_for()
    expect(tab.caption).to_have_text(re.compile("pixels changed"))
    tab.page.get_by_label("number input for Steps at most").fill("3")
    tab.page.keyboard.press("Tab")
    tab.invert()


def test_the_sweep_sets_the_slider_and_the_mix_crosses_over(tab, astronaut_file, tmp_path):
    tab.load(astronaut_file)
    tab.invert()
    tab.page.get_by_role("button", name="Strength sweep").click()
    tab.page.locator("#draw").click()
    before = tab.page.locator("#view .compare img").first.get_attribute("src")
    tab.page.get_by_label("set smile to -1").click()
    tab.page.wait_for_function("b => document.querySelector('#view .compare img').src !== b", arg=before)
    expect(tab.slider("smile")).to_have_value("-1")
    tab.page.get_by_role("tab", name="Mix").click()
    tab.page.locator("#second input[type=file]").set_input_files(str(astronaut_file))
    tab.page.get_by_text("second photo: astronaut").wait_for()
    tab.page.get_by_label("coarse").check()
    tab.page.get_by_label("4", exact=True).check()
    tab.page.get_by_role("tab", name="History").click()
    tab.page.get_by_role("radio", name=re.compile("layers coarse of second photo . layers 4 of seed 0")).wait_for()
    steps = load_recipe(tab.download("Recipe", tmp_path)).edits
    assert steps == (Transfer("smile", -1.0), Crossover("second.npz", "coarse"), Crossover("0", "4"))
    assert tab.download("Second code", tmp_path).name == "second.npz"


def test_directions_that_do_not_fit_another_checkpoint_are_grey_with_the_reason(tab, astronaut_file):
    tab.load(astronaut_file)
    tab.page.get_by_role("tab", name="Generator").click()
    tab.page.locator("#checkpoint input[type=file]").set_input_files(str(FOREIGN))
    tab.page.get_by_text("the generator is loaded").wait_for()
    expect(tab.page.locator("#about")).to_contain_text("rosinality-32: 32 px")
    tab.page.get_by_role("tab", name="Edit").click()
    expect(tab.slider("age")).to_be_disabled()
    expect(tab.page.locator("#panel")).to_contain_text("made for")
    tab.page.get_by_role("tab", name="Photo").click()
    tab.invert()


@pytest.mark.parametrize("width", [360, 390, 768, 1280])
def test_nothing_is_wider_than_the_screen(browser, address, astronaut_file, width):
    tab = Tab(browser, address, viewport={"width": width, "height": 800})
    tab.load(astronaut_file)
    tab.invert()
    expect(tab.caption).to_contain_text("pixels changed")
    tab.page.wait_for_function("width => document.documentElement.scrollWidth <= width", arg=width)
    tab.set("smile", -1)
    for name, shown in (("Generator", "#about"), ("History", "#gallery figure"), ("Mix", "#second")):
        tab.page.get_by_role("tab", name=name).click()
        expect(tab.page.locator(shown)).to_be_visible()
        tab.page.wait_for_function("width => document.documentElement.scrollWidth <= width", arg=width)
    tab.close()


def test_every_control_has_a_name(tab, astronaut_file):
    tab.load(astronaut_file)
    tab.invert()
    nameless = tab.page.evaluate("""() => [...document.querySelectorAll("input, button, select, textarea, img")]
      .filter(e => e.checkVisibility() && !(e.labels?.length || e.ariaLabel || e.innerText?.trim() || e.title || e.alt
        || e.closest("label")?.innerText.trim())).map(e => e.outerHTML.slice(0, 200))""")
    assert nameless == []


def test_the_camera_s_picture_goes_the_way_of_an_upload(browser, address):
    with_camera = browser.browser_type.launch(executable_path=CHROMIUM, args=[*FLAGS, *CAMERA], headless=True)
    tab = Tab(with_camera, address, permissions=["camera"])
    tab.page.get_by_role("button", name="Camera").click()
    tab.page.get_by_role("button", name=re.compile("access webcam", re.IGNORECASE)).click()
    tab.page.wait_for_function("document.querySelector('video')?.readyState >= 2")
    tab.page.wait_for_timeout(500)
    tab.page.get_by_role("button", name=re.compile("capture", re.IGNORECASE)).click()
    tab.page.get_by_role("alert").get_by_text("no face found").wait_for()  # the fake camera shows a clock
    with_camera.close()
