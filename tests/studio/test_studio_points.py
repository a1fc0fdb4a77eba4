"""Points set on the photo by mouse and finger, and edits that are kept to a region, in Chromium."""

import re

import numpy as np
import pytest
from browser import Tab, require_chromium, studio
from PIL import Image
from playwright.sync_api import expect

from editing.recipe import load_recipe
from editing.studio.points import listed, overlay, words_of

PART = (slice(0, 512), slice(0, 512))
MOUTH = (0.477, 0.277)  # a corner of the astronaut's mouth, in shares of the photo


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A studio with the small generator, which points are dragged by in a moment."""
    require_chromium()
    with studio(tmp_path_factory.mktemp("small"), "--generator", "faces64") as address:
        yield address


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


def drawing(tab, number):
    """The drawing over the photo, once so many points are set on it."""
    found = tab.page.locator("#view svg.placing")
    expect(found.locator("circle.to")).to_have_count(number)
    expect(found).to_have_count(1)
    return found


def at(found, share):
    """A place of the drawing, given in shares of it."""
    box = found.bounding_box()
    return {"x": share[0] * box["width"], "y": share[1] * box["height"]}


def test_words_of_points_are_those_of_the_command_and_the_drawing_has_the_photo_s_pixels():
    pairs = [((10.04, 20.0), (30.0, 40.0)), ((1.0, 2.0), (3.0, 4.0))]
    assert words_of(pairs) == "10.0,20.0:30.0,40.0; 1.0,2.0:3.0,4.0"
    drawn = overlay(words_of(pairs), (slice(50, 150), slice(100, 300)), placing=True)
    assert 'viewBox="100 50 200 100"' in drawn
    assert drawn.count("<line") == 2
    assert overlay("", PART, placing=False) == ""
    half = listed("0,0:10,0", {((0.0, 0.0), (10.0, 0.0)): (5.0, 0.0)})
    assert "from 0,0 to 10,0: 50% of the way" in half
    assert half.count("data-remove") == 1
    assert "remove all" in listed(words_of(pairs), {})
    assert "on no face" in listed(words_of(pairs), {})


def test_points_are_set_by_two_clicks_or_one_pull_listed_and_removed(tab, astronaut_file, tmp_path):
    tab.load(astronaut_file)
    tab.invert()
    tab.page.get_by_label("Points", exact=True).check()
    shown = drawing(tab, 0)
    shown.click(position=at(shown, MOUTH))
    expect(tab.page.locator("#view svg .pending circle")).to_have_count(1)
    tab.page.keyboard.press("Escape")  # takes the first press back
    expect(tab.page.locator("#view svg .pending")).to_have_count(0)
    shown.click(position=at(shown, MOUTH))
    shown.click(position=at(shown, (0.488, 0.266)))
    tab.page.get_by_role("button", name=re.compile("^Points")).click()
    expect(tab.page.locator("#points li")).to_have_text(re.compile(r"from 244,14\d to 2[45]\d,13\d: \d+% of the way"))
    shown = drawing(tab, 1)
    shown.hover(position=at(shown, (0.396, 0.273)))
    tab.page.mouse.down()
    shown.hover(position=at(shown, (0.375, 0.25)))
    tab.page.mouse.up()
    expect(tab.page.locator("#points li")).to_have_count(2)
    drawing(tab, 2)
    (edit,) = load_recipe(tab.download("Recipe", tmp_path)).edits
    assert edit.drag.count(":") == 2
    assert edit.label == "2 points dragged"
    photo, edited = pixels(astronaut_file), pixels(tab.download("Edited photo", tmp_path))
    assert (photo != edited).any()
    tab.page.get_by_role("button", name="remove point 1").click()
    expect(tab.page.locator("#points li")).to_have_count(1)
    expect(tab.page.locator("#points li")).to_have_text(re.compile(r"from 20\d,1[34]\d to 19\d,12\d"))
    tab.page.locator("#undo").click()
    expect(tab.page.locator("#points li")).to_have_count(2)
    tab.page.get_by_role("button", name="remove all").click()
    expect(tab.page.locator("#points li")).to_have_count(0)
    expect(tab.caption).to_have_text(re.compile(r"^0 of 262,144 pixels changed"))


@pytest.mark.slow
def test_a_finger_sets_points_on_a_phone_without_scrolling_the_page(browser, address, astronaut_file):
    phone = Tab(browser, address, viewport={"width": 390, "height": 780}, has_touch=True, is_mobile=True)
    phone.load(astronaut_file)
    phone.invert()
    phone.page.get_by_label("Points", exact=True).check()
    shown = drawing(phone, 0)
    shown.tap(position=at(shown, MOUTH))
    shown.tap(position=at(shown, (0.488, 0.266)))
    drawing(phone, 1)
    phone.page.get_by_role("button", name=re.compile("^Points")).click()
    expect(phone.page.locator("#points li")).to_have_count(1)
    phone.close()


def test_with_a_region_everything_outside_it_stays_the_photo_s(tab, astronaut_file, tmp_path):
    tab.load(astronaut_file)
    tab.invert()
    tab.set("smile", -1)
    whole = pixels(tab.download("Edited photo", tmp_path))
    caption = tab.caption.inner_text()
    tab.page.locator("#region").get_by_text("mouth").click()
    expect(tab.caption).not_to_have_text(caption)
    (tmp_path / "mouth").mkdir()
    part, photo = pixels(tab.download("Edited photo", tmp_path / "mouth")), pixels(astronaut_file)
    outside, mouth = (slice(0, 115), slice(None)), (slice(130, 155), slice(200, 250))  # above her lips; around them
    assert (whole[outside] != photo[outside]).any()
    assert (part[outside] == photo[outside]).all()
    assert (part[mouth] != photo[mouth]).any()
    assert load_recipe(tab.download("Recipe", tmp_path)).output.region == "mouth"
