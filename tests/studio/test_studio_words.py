"""Errors in the page's words, one at a time."""

import re

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from editing.studio.wording import page_words


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("a.png: no face found; or --no-align if the picture already is an aligned face",
         'or untick "Find the faces" if it is an aligned face'),
        ("--drag '1,2' is not understood; expected x,y:x,y in pixels of the photo", "the points '1,2'"),
        ("no dials; make them with `invertigo dials fit --num 9`", "`invertigo dials fit --num 9`"),
        ("it has no parameters to tune; use --method project", 'choose the method project under "How to search"'),
        ("x: cannot be written (full); choose another --out or free some space", "free some space on its disk"),
        ("it needs --what-ever", "it needs the option what-ever"),
    ],
)  # fmt: skip
def test_options_of_commands_are_controls_of_the_page(said, shown):
    assert shown in page_words(said)
    assert "--" not in re.sub("`[^`]*`", "", page_words(said))


def test_wrong_files_are_refused_one_at_a_time_and_in_the_page_s_words(tab, tmp_path):
    (tmp_path / "notes.txt").write_text("no photo")
    Image.fromarray(np.full((80, 80, 3), 200, np.uint8)).save(tmp_path / "wall.png")
    alert = tab.page.get_by_role("alert")
    tab.upload(tmp_path / "notes.txt")
    expect(alert).to_have_text(re.compile("^notes.txt: "))
    tab.upload(tmp_path / "wall.png")
    expect(alert).to_have_text(re.compile('^wall.png: no face found.*untick "Find the faces"'))
    expect(alert).to_have_count(1)
    expect(tab.page.locator(".toast-body")).to_have_count(0)
    tab.page.get_by_role("tab", name="History").click()
    tab.page.locator("#session-file input[type=file]").set_input_files(str(tmp_path / "notes.txt"))
    expect(alert).to_have_text(re.compile("^notes.txt: no session's file"))
    tab.page.get_by_role("tab", name="Generator").click()
    tab.page.locator("#checkpoint input[type=file]").set_input_files(str(tmp_path / "notes.txt"))
    expect(alert).to_have_text(re.compile("^notes.txt: (?!no session)"))
    expect(alert).to_have_count(1)
    expect(tab.page.locator(".toast-body")).to_have_count(0)
