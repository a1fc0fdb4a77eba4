"""Whole expressions: by name, from a file, off another photo; what a generator does not reach is said."""

import json
import re

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from editing.saved_expressions import load_expression, shipped_expressions
from editing.studio.dials import Dials
from editing.studio.exports import export
from editing.studio.expressions import load_file, read_off, with_expression
from editing.studio.offer import offered_measures
from editing.studio.searches import SearchChoice
from editing.studio.session import Session
from inversion.config import InvertConfig, ProjectionConfig
from inversion.faces.measures import MEASURES
from inversion.invert import Inverter
from stylegan_core.errors import ConfigError, FaceNotFoundError


@pytest.fixture(scope="module")
def inverter():
    return Inverter(InvertConfig(), ProjectionConfig(steps=0))


@pytest.fixture
def session(inverter, astronaut_file, tmp_path):
    session = Session(inverter, tmp_path / "session", 10_000_000)
    session.load_photo(astronaut_file)
    session.guess([0], SearchChoice("guess", "w+", 0, 0))
    yield session
    session.close()


def test_sliders_end_where_their_words_say(session):
    for name, item in offered_measures(session).items():
        low, high = (float(number) for number in re.findall(r"goes from (\S+) to (-?[\d.]+)", item.info)[0])
        assert (item.low, item.high) == (min(low, item.own), max(high, item.own)), item.info
        assert ("this face is at" in item.info) == (not low <= item.own <= high)
        for value in (item.low, item.own, item.high):
            assert value / MEASURES[name].step == pytest.approx(round(value / MEASURES[name].step))


def test_an_expression_becomes_dials_within_what_the_generator_reaches(session):
    offer = offered_measures(session)
    wide, still = offer["mouth-open"], offer["eyes-open"].own
    session.worn = {"mouth-open": 1.0, "eyes-open": still, "yaw": offer["yaw"].high}
    dials, beyond = with_expression(session, Dials())
    assert dials.measures == (("mouth-open", wide.high),)  # the eyes are as asked; the head's pose is its own
    assert beyond == [f"mouth-open goes to {wide.high:.3f} only, not to 1.000"]
    assert with_expression(session, Dials(), pose=True)[0].measures[-1] == ("yaw", offer["yaw"].high)
    assert with_expression(session, Dials(), share=0.0) == (Dials(), [])
    (half,) = with_expression(session, Dials(), share=0.5 * (wide.high - wide.own) / (1 - wide.own))[0].measures
    assert half[1] == pytest.approx((wide.own + wide.high) / 2, abs=0.011)
    assert with_expression(session, Dials(measures=(("pitch", 3.0),)))[0].measures[-1] == ("pitch", 3.0)


def test_a_saved_expression_is_the_file_of_the_command_and_is_loaded_again(session, tmp_path):
    path = export(session, "expression")
    assert path.name == "astronaut_expression.json"
    saved = load_expression(path)
    assert set(saved) == {name for name, measure in MEASURES.items() if measure.expression}
    load_file(session, path)
    assert session.worn == saved
    assert with_expression(session, Dials())[0] == Dials()  # it is this face's own
    (tmp_path / "bad.json").write_text(json.dumps({"format": "invertigo expression", "measures": {"ears": 1}}))
    with pytest.raises(ConfigError, match="nothing that is measured is called 'ears'"):
        load_file(session, tmp_path / "bad.json")
    assert session.worn == saved


def test_an_expression_is_read_off_another_photo(session, astronaut, tmp_path):
    Image.fromarray(astronaut[:, ::-1]).save(tmp_path / "mirrored.png")
    read_off(session, tmp_path / "mirrored.png")
    assert "expression of mirrored.png" in session.worn_by
    assert set(session.worn) == set(MEASURES)
    own = dict(session.worn)
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / "black.png")
    with pytest.raises(FaceNotFoundError, match="no face found"):
        read_off(session, tmp_path / "black.png")
    assert session.worn == own


def test_dials_stand_in_groups_with_their_ranges_and_expressions_come_and_go(tab, astronaut, astronaut_file, tmp_path):
    tab.load(astronaut_file)
    tab.invert()
    titles = tab.page.locator("#panel button:visible").all_inner_texts()
    groups = [text.split()[0] for text in titles if text.split()[0] in ("Looks", "Mouth", "Eyes", "Head")]
    assert groups == ["Looks", "Mouth", "Eyes", "Head"]
    tab.page.get_by_role("button", name=re.compile("^Mouth")).click()
    fold = tab.page.locator("#group-mouth")
    expect(fold).to_contain_text(re.compile(r"gap of the lips, in eye distances; \S+ goes from -?\d\.\d\d to \d\.\d\d"))
    own = tab.slider("mouth-open").input_value()
    tab.page.locator("#neutral").click()
    tab.page.get_by_text(re.compile(r"[1-9][\d,]* of 262,144 pixels changed")).wait_for()
    tab.page.get_by_role("button", name=re.compile("^Expressions")).click()
    saved = tab.download("Save this expression", tmp_path)
    wanted = shipped_expressions()["neutral"]["mouth-open"]
    assert abs(load_expression(saved)["mouth-open"] - wanted) < abs(float(own) - wanted)
    tab.page.locator("#reset").click()
    expect(tab.caption).to_have_text(re.compile("^0 of 262,144"))
    expect(tab.slider("mouth-open")).to_have_value(own)
    tab.page.locator("#expression-file input[type=file]").set_input_files(str(saved))
    expect(tab.slider("mouth-open")).not_to_have_value(own)
    tab.page.locator("#reset").click()
    expect(tab.slider("mouth-open")).to_have_value(own)
    Image.fromarray(astronaut).resize((512, 660)).save(tmp_path / "other.png")  # her brows stand higher
    tab.page.get_by_role("button", name=re.compile("^Eyes")).click()
    low = tab.slider("brows").input_value()
    tab.page.locator("#other-photo input[type=file]").set_input_files(str(tmp_path / "other.png"))
    tab.page.get_by_text("expression of other.png").wait_for()
    expect(tab.slider("brows")).not_to_have_value(low)
    tab.page.get_by_label("number input for How much of it").fill("0")
    tab.page.keyboard.press("Tab")
    expect(tab.slider("brows")).to_have_value(low)
