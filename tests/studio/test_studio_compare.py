"""Before and after, two edits side by side, and the keyboard, in Chromium."""

import re

import pytest
from browser import ROOT, Tab
from playwright.sync_api import expect

from editing.studio.keys import OTHERS, PRESSES, told_keys


def test_two_edits_are_compared_and_keys_do_what_buttons_do_but_not_while_one_types(tab, astronaut_file):
    tab.load(astronaut_file)
    tab.invert()
    keys, compare = tab.page.keyboard, tab.page.locator("#view .compare")
    expect(tab.page.locator("#compare input")).to_be_disabled()
    tab.set("smile", 1)
    tab.page.locator("#keep-a").click()
    expect(tab.message).to_contain_text("kept as A: smile 1")
    tab.set("smile", -1)
    keys.press("b")
    expect(tab.message).to_contain_text("kept as B: smile -1")
    keys.press("x")
    expect(tab.caption).to_have_text("A: smile 1; B: smile -1")
    expect(compare.locator(".tag")).to_have_text(["A", "B"])
    both = [compare.locator("img").nth(index).get_attribute("src") for index in (0, 1)]
    assert both[0] != both[1]
    keys.press("x")
    expect(tab.caption).to_have_text(re.compile("pixels changed"))

    keys.press("z")
    expect(tab.slider("smile")).to_have_value("1")
    keys.press("Shift+Z")
    expect(tab.slider("smile")).to_have_value("-1")
    keys.press("Control+z")
    expect(tab.slider("smile")).to_have_value("1")
    keys.press("Control+y")
    expect(tab.slider("smile")).to_have_value("-1")
    keys.press("c")
    expect(tab.page.locator("#zoom input")).to_be_checked()
    keys.press("p")
    expect(tab.page.locator("#view svg.placing")).to_be_visible()
    tab.page.get_by_role("button", name=re.compile("^Points")).click()
    words = tab.page.locator("#drag textarea, #drag input")
    words.press_sequentially("crz")
    expect(words).to_have_value("crz")
    expect(tab.page.locator("#zoom input")).to_be_checked()  # typing is typing
    words.fill("")
    words.blur()
    keys.press("r")
    expect(tab.slider("smile")).to_have_value("0")
    keys.down("h")
    expect(compare).to_have_class("compare held")
    keys.up("h")
    expect(compare).to_have_class("compare")


def test_a_long_press_on_the_picture_shows_the_photo_before_and_leaves_the_divider(tab, astronaut_file):
    tab.load(astronaut_file)
    tab.invert()
    compare = tab.page.locator("#view .compare")
    at = compare.locator("input").input_value()
    box = compare.bounding_box()
    tab.page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + box["height"] / 2)
    tab.page.mouse.down()
    expect(compare).to_have_class("compare held")
    tab.page.mouse.up()
    expect(compare).to_have_class("compare")
    expect(compare.locator("input")).to_have_value(at)


def test_every_key_is_told_and_documented():
    text = told_keys()
    documented = (ROOT / "docs" / "studio.md").read_text(encoding="utf-8")
    for key in (*PRESSES, *OTHERS):
        assert f"<kbd>{key}</kbd>" in text
        assert f"`{key}`" in documented


@pytest.mark.slow
def test_a_phone_has_room_for_the_controls_and_nothing_covers_undo(browser, address, astronaut_file):
    phone = Tab(browser, address, viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    phone.load(astronaut_file)
    phone.invert()
    phone.set("smile", -0.8)
    stage = phone.page.locator("#stage").bounding_box()
    assert stage["height"] < 0.62 * 740
    for scrolled in (0, 400, 100_000):
        phone.page.evaluate("y => window.scrollTo(0, y)", scrolled)
        for name in ("#undo", "#keep-a", "#zoom input"):
            phone.page.locator(name).click(trial=True)
    phone.page.wait_for_function("document.documentElement.scrollWidth <= 360")
    phone.close()
