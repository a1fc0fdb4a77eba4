"""The page of a human evaluation, by its functions and in a browser."""

import base64
import io
import re
from contextlib import closing

import numpy as np
import pytest
from browser import served
from click.testing import CliRunner
from PIL import Image

from cli import main
from editing.studio.human_page import Interview
from stylegan_core.errors import ConfigError, DatasetError, ImageError
from stylegan_core.metrics.human import HumanConfig, read_answers


@pytest.fixture
def folders(tmp_path):
    """Real pictures are red, generated ones blue, with a green channel that tells which of them it is."""
    for name, colour in (("real", (200, 0, 0)), ("generated", (0, 0, 200))):
        (tmp_path / name).mkdir()
        for index in range(4):
            Image.new("RGB", (40, 30), (colour[0], 40 * index, colour[2])).save(tmp_path / name / f"{index}.png")
    return str(tmp_path / "real"), str(tmp_path / "generated")


def colours(html):
    """The middle pixels of the pictures in the HTML, left to right."""
    data = re.findall(r'src="data:image/png;base64,([^"]+)"', html)
    images = [Image.open(io.BytesIO(base64.b64decode(part))).convert("RGB") for part in data]
    return [np.asarray(image)[image.height // 2, image.width // 2] for image in images]


def test_the_page_shows_what_the_ballot_says_and_counts_the_answers(folders, tmp_path):
    config = HumanConfig(out=str(tmp_path / "a.json"), pairs=6)
    interview = Interview(*folders, config)
    index, progress, html = interview.view()
    assert (index, progress) == (0, "Pair 1 of 6")
    for step in range(6):
        left, right = colours(html)
        red_is_left = left[0] > 100
        assert (right[0] > 100) != red_is_left and (left[2] > 100) != red_is_left
        pair = interview.ballot.pairs[step]
        assert (pair.real_side == "left") == red_is_left
        assert left[1] == 40 * int((pair.real if red_is_left else pair.generated)[0])
        assert "real" not in html and "generated" not in html  # nothing on the page tells
        right_answer = "left" if red_is_left else "right"
        wrong_answer = "right" if red_is_left else "left"
        index, progress, html = interview.choose(index, right_answer if step < 4 else wrong_answer)
    assert "answered" in progress and "2 of 6 times" in html
    assert Interview(*folders, config).view()[1] == progress  # after a restart too


def test_a_restart_goes_on_with_the_same_pictures(folders, tmp_path):
    config = HumanConfig(out=str(tmp_path / "a.json"), pairs=3)
    first = Interview(*folders, config)
    _, _, second_pair = first.choose(0, "left")
    again = Interview(*folders, config)
    assert again.view() == (1, "Pair 2 of 3", second_pair)


def test_matched_edits_keep_their_shape(folders, tmp_path):
    interview = Interview(*folders, HumanConfig(out=str(tmp_path / "a.json"), matched=True))
    assert len(interview.ballot.pairs) == 4
    assert all(pair.real == pair.generated for pair in interview.ballot.pairs)
    data = re.search(r"base64,([^\"]+)", interview.view()[2])[1]
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (40, 30)


def test_what_keeps_it_from_starting_is_said_first(folders, tmp_path):
    config = HumanConfig(out=str(tmp_path / "a.json"))
    with pytest.raises(DatasetError, match="no such folder"):
        Interview(str(tmp_path / "none.zip"), folders[1], config)
    with pytest.raises(ConfigError, match="--pairs 0"):
        Interview(*folders, HumanConfig(out=str(tmp_path / "a.json"), pairs=0))
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.png").write_bytes(b"no picture")
    with pytest.raises(ImageError):
        Interview(folders[0], str(tmp_path / "bad"), config)
    result = CliRunner().invoke(main, ["human-eval", folders[0], str(tmp_path), "--pairs", "0", "--no-browser"])
    assert result.exit_code == 2 and "'--pairs'" in result.output


def test_in_a_browser_each_click_brings_the_next_pair(folders, browser, tmp_path):
    from playwright.sync_api import expect

    out = tmp_path / "a.json"
    command = ("human-eval", "run", *folders, "--pairs", "3", "--out", str(out))
    with served(tmp_path / "run", *command) as address, closing(browser.new_page()) as page:
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        for number, side in enumerate(("left", "right", "left")):
            expect(page.get_by_text(f"Pair {number + 1} of 3")).to_be_visible()
            expect(page.locator(".pair img")).to_have_count(2)
            page.locator(f"#{side}").click()
        expect(page.get_by_text("All 3 pairs are answered")).to_be_visible()
        expect(page.locator("#left")).to_be_disabled()
        page.screenshot(path=tmp_path / "page.png")
    assert all(url.startswith((address.rstrip("/"), "data:", "blob:")) for url in asked)
    assert not (tmp_path / "run" / "outside.txt").exists()
    _, answers = read_answers(out)
    assert [answer.chosen for answer in answers] == ["left", "right", "left"]
    assert "of 3 times" in (tmp_path / "run" / "log.txt").read_text()  # the rate, when it is stopped
