"""The gallery, the session's file and a reload of the page, in Chromium."""

import re

import numpy as np
import pytest
from browser import Tab, require_chromium, studio
from PIL import Image
from playwright.sync_api import expect


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    require_chromium()
    with studio(tmp_path_factory.mktemp("small"), "--generator", "faces64") as address:
        yield address


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def test_edits_come_back_from_the_gallery_from_the_file_and_after_a_reload(
    browser, address, tab, astronaut_file, tmp_path
):
    tab.load(astronaut_file)
    tab.invert()
    tab.set("smile", -1)
    tab.set("age", 1)
    tab.page.get_by_role("tab", name="History").click()
    cells = tab.page.locator("#gallery figure")
    expect(cells).to_have_count(2)
    expect(cells.locator("figcaption")).to_have_text(["smile -1 + age 1", "smile -1"])
    caption = tab.caption.inner_text()
    tab.page.get_by_label("bring back smile -1", exact=True).click()
    expect(tab.slider("age")).to_have_value("0")
    expect(tab.caption).not_to_have_text(caption)
    first = tab.download("Edited photo", tmp_path)

    tab.page.reload()
    expect(tab.caption).to_have_text(re.compile(r"[1-9]\d* of 262,144 pixels changed|[\d,]+ of 262,144"))
    expect(tab.slider("smile")).to_have_value("-1")
    tab.page.locator("#undo").click()
    expect(tab.slider("age")).to_have_value("1")
    tab.page.locator("#redo").click()
    expect(tab.slider("age")).to_have_value("0")
    session = tab.download("Session", tmp_path)
    assert session.name == "astronaut_session.zip"

    other = Tab(browser, address)
    other.page.get_by_role("tab", name="History").click()
    other.page.locator("#session-file input[type=file]").set_input_files(str(session))
    other.page.get_by_text("the session is open").wait_for()
    expect(other.slider("smile")).to_have_value("-1")
    (tmp_path / "again").mkdir()
    assert (pixels(other.download("Edited photo", tmp_path / "again")) == pixels(first)).all()
    other.page.get_by_role("tab", name="History").click()
    expect(other.page.locator("#gallery figure")).to_have_count(2)
    other.close()


@pytest.mark.slow
def test_a_reload_goes_on_with_the_search_that_is_under_way(tab, astronaut_file):
    tab.load(astronaut_file)
    tab.page.get_by_role("button", name="How to search").click()
    tab.page.get_by_label("number input for Steps at most").fill("1000")
    tab.page.keyboard.press("Tab")
    tab.page.locator("#invert").click()
    tab.page.get_by_text("the search behind it is at step").wait_for()
    tab.page.reload()
    tab.page.get_by_text("the search behind it is at step").wait_for()
    expect(tab.slider("smile")).to_be_enabled()
    tab.page.get_by_role("tab", name="Photo").click()
    tab.page.locator("#cancel").click()
    tab.page.get_by_text("stopped; nothing was changed").wait_for()
    tab.page.locator("#cancel").click()
    tab.page.get_by_text("nothing is under way").wait_for()


@pytest.mark.slow
def test_an_edit_is_dropped_in_again_as_the_photo_by_button_and_by_drag(tab, astronaut_file, tmp_path):
    tab.load(astronaut_file)
    tab.invert()
    tab.set("smile", -1)
    edited = pixels(tab.download("Edited photo", tmp_path))
    tab.page.get_by_role("tab", name="History").click()
    tab.page.locator("#gallery figure").drag_to(tab.page.locator("#view"))
    expect(tab.caption).to_have_text("astronaut_edited.png: 1 face found")
    tab.invert()
    (tmp_path / "again").mkdir()
    assert (pixels(tab.download("Edited photo", tmp_path / "again")) == edited).all()
    tab.page.get_by_role("tab", name="History").click()
    tab.page.get_by_label("bring back smile -1", exact=True).click()
    expect(tab.slider("smile")).to_have_value("-1")
    tab.page.get_by_role("tab", name="History").click()
    tab.page.get_by_label("use smile -1 as the photo").click()
    expect(tab.caption).to_have_text("astronaut_edited.png: 1 face found")
