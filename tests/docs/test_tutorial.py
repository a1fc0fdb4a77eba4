"""Every command of the tutorial is run, as it stands; every picture in it is there."""

import importlib.util
import os
import re
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(scope="module")
def tutorial():
    spec = importlib.util.spec_from_file_location("tutorial", DOCS / "tutorial.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def test_the_first_steps_of_the_tutorial_work(tutorial, tmp_path, monkeypatch):
    monkeypatch.setitem(os.environ, "OMP_NUM_THREADS", "1")
    first = tutorial.blocks()[:3]
    assert [text.split()[0] for _, text in first] == ["invertigo", "invert", "edit"]
    tutorial.run_blocks(first, tmp_path)
    photo = pixels(tmp_path / "astronaut.png")
    edited = pixels(tmp_path / "serious" / "astronaut" / "face0" / "photo_edited.png")
    changed = (edited != photo).any(axis=-1)
    assert 5_000 < changed.sum() < 20_000


@pytest.mark.slow
def test_every_command_of_the_tutorial_works(tutorial, tmp_path):
    tutorial.run_blocks(tutorial.blocks(), tmp_path)
    for name in ("older/astronaut/face0/photo_edited.png", "forty/astronaut/face0/photo_edited.png",
                 "crossed/astronaut/face0/edited.png"):  # fmt: skip
        assert (tmp_path / name).is_file()
    assert "<img" in (tmp_path / "done" / "report.html").read_text()
    with sqlite3.connect(tmp_path / "done" / "manifest.sqlite") as connection:
        assert connection.execute("SELECT state FROM items").fetchall() == [("done",), ("done",)]
    connection.close()


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_pictures_and_pages_that_a_page_names_are_there(page):
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).is_file()] == []
