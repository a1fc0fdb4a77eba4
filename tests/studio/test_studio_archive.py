"""A session's file: everything comes back from it, and nothing that a stranger may have put in."""

import io
import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from editing.studio.archive import open_session
from editing.studio.dials import Dials
from editing.studio.exports import export
from editing.studio.searches import SearchChoice
from editing.studio.session import Session
from inversion.config import InvertConfig, ProjectionConfig
from inversion.invert import Inverter
from stylegan_core.directions import save_direction, shipped_directions
from stylegan_core.errors import ToolkitError

GUESS = SearchChoice("guess", "w+", 0, 0)
SMILE = Dials((("smile", -1.0),), region="mouth")


@pytest.fixture(scope="module")
def inverter():
    return Inverter(InvertConfig(generator="faces64"), ProjectionConfig(steps=0))


@pytest.fixture
def session(inverter, astronaut_file, tmp_path):
    session = Session(inverter, tmp_path / "session", 10_000_000)
    session.load_photo(astronaut_file)
    session.guess([0], GUESS)
    yield session
    session.close()


@pytest.fixture
def fresh(inverter, tmp_path):
    session = Session(inverter, tmp_path / "fresh", 10_000_000)
    yield session
    session.close()


@pytest.fixture(scope="module")
def saved(inverter, astronaut_file, tmp_path_factory):
    """The file of a session with two edits."""
    session = Session(inverter, tmp_path_factory.mktemp("saved"), 10_000_000)
    session.load_photo(astronaut_file)
    session.guess([0], GUESS)
    session.settle(Dials((("age", 1.0),)))
    session.settle(SMILE)
    session.keep("A")
    yield export(session, "session")
    session.close()


def rewritten(saved, path, **changes):
    """Copy a session's file with other members; None leaves one out."""
    with zipfile.ZipFile(saved) as old, zipfile.ZipFile(path, "w") as new:
        for member in old.namelist():
            if member not in changes:
                new.writestr(member, old.read(member))
        for member, content in changes.items():
            if content is not None:
                new.writestr(member, content)
    return path


def index_of(saved):
    with zipfile.ZipFile(saved) as archive:
        return json.loads(archive.read("session.json"))


def test_all_work_comes_back_from_the_file(session, fresh, astronaut, tmp_path):
    session.settle(Dials((("age", 1.0),)))
    session.settle(SMILE)
    session.keep("A")
    session.history.go(1)
    (before, _), first = session.result(), session.work
    used = next(kept.number for kept in session.gallery if kept.dials == SMILE)
    smiling, _ = session.result(SMILE)
    session.use(used)
    assert session.photo.path.name == "astronaut_edited.png"
    assert (session.photo.rgb == smiling).all()
    assert session.inverted == {}
    session.bring(used)
    assert session.work is first and session.history.now == SMILE
    session.history.go(1)

    open_session(fresh, export(session, "session"))
    assert [entry for entry in fresh.history.entries] == session.history.entries
    assert fresh.history.position == 1
    assert fresh.work.slots == {"A": SMILE}
    assert [(kept.number, kept.dials, kept.label) for kept in fresh.gallery] == [
        (kept.number, kept.dials, kept.label) for kept in session.gallery
    ]
    assert (fresh.result()[0] == before).all()
    assert fresh.photo.sha256 == session.photo.sha256
    assert (fresh.inverted[0].latent.ws == session.inverted[0].latent.ws).all()
    assert fresh.recipe() == session.recipe()
    fresh.bring(used)
    assert (fresh.result()[0] == session.result(SMILE)[0]).all()


def test_the_recipe_in_the_file_is_the_one_that_is_downloaded(session):
    session.settle(SMILE)
    with zipfile.ZipFile(export(session, "session")) as archive:
        text = archive.read("recipe0.toml").decode()
    assert 'transfer = "smile"' in text
    assert set(archive.namelist()) == {"session.json", "photo0.bin", "face0-0.npz", "recipe0.toml", "kept1.png"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"../../evil.npz": b"x"}, "a member '../../evil.npz'"),
        ({"/etc/passwd": b"x"}, "a member '/etc/passwd'"),
        ({"session.json": b"[" * 100_000}, "index is damaged"),
        ({"session.json": None}, "not those of a session"),
        ({"photo0.bin": b"no photo"}, "not a readable image"),
        ({"face0-0.npz": b"no latent"}, "not a readable .npz"),
        ({"recipe0.toml": b"[invert]\nwhat = 1"}, "what is unknown"),
        ({"face0-0.npz": None}, "face0-0.npz is missing"),
    ],
)
def test_a_file_that_is_not_as_it_was_saved_is_refused_and_changes_nothing(
    fresh, saved, astronaut_file, tmp_path, changes, said
):
    fresh.load_photo(astronaut_file)
    before = fresh.work
    with pytest.raises(ToolkitError, match=said):
        open_session(fresh, rewritten(saved, tmp_path / "changed.zip", **changes))
    assert fresh.work is before
    assert list(fresh.gallery) == []
    assert not (tmp_path.parent / "evil.npz").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda index: index.update(fingerprint="0" * 64, generator="other"), "made with the generator other"),
        (lambda index: index.update(version=99), "no session of this studio"),
        (lambda index: index["photos"][0]["history"].append({"strengths": [["/etc/passwd.npz", 1]]}), "not known here"),
        (lambda index: index["photos"][0]["history"].append({"region": "/etc/passwd.png"}), "not known here"),
        (lambda index: index["photos"][0]["history"].append({"others": [["transfer_from", "a b"]]}), "not known here"),
        (lambda index: index["photos"][0]["history"].append({"others": [["drag", "nonsense"]]}), "not understood"),
        (lambda index: index["photos"][0]["history"].append({"psi": 1e99}), "where a number was expected"),
        (lambda index: index["photos"][0]["history"].append({"code": "import os"}), "none of this studio's"),
        (lambda index: index["photos"][0].update(history=[]), "history is damaged"),
        (lambda index: index["photos"][0].update(name=["a"]), "damaged at 'name'"),
        (lambda index: index["gallery"][0].update(photo=7), "names a photo that is not in it"),
        (lambda index: index.update(directions={"../x": "x.npz"}), "list of directions"),
    ],
)
def test_an_index_that_the_studio_did_not_write_is_refused(fresh, saved, tmp_path, change, said):
    index = index_of(saved)
    change(index)
    with pytest.raises(ToolkitError, match=said):
        open_session(fresh, rewritten(saved, tmp_path / "changed.zip", **{"session.json": json.dumps(index)}))
    assert fresh.photo is None


def test_a_photo_s_name_is_no_place_on_this_machine(fresh, saved, tmp_path):
    index = index_of(saved)
    for name, kept in (
        ("../../../tmp/evil.png", "evil"),
        ("..", "photo"),
        ("a\x00b/c\\d\n.png", "d_"),
        ("é 1.jpg", "é 1"),
    ):
        index["photos"][0]["name"] = name
        open_session(fresh, rewritten(saved, tmp_path / "named.zip", **{"session.json": json.dumps(index)}))
        path = export(fresh, "photo")
        assert (path.parent, path.name) == (fresh.folder, f"{kept}_edited.png")


def test_another_photo_s_code_and_too_much_are_refused(fresh, saved, astronaut, tmp_path):
    file = io.BytesIO()
    Image.fromarray(astronaut[:, ::-1]).save(file, "png")
    with pytest.raises(ToolkitError, match="of another photo"):
        open_session(fresh, rewritten(saved, tmp_path / "other.zip", **{"photo0.bin": file.getvalue()}))
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("session.json", b" " * (5 << 20))
    with pytest.raises(ToolkitError, match="larger than the"):
        open_session(fresh, tmp_path / "bomb.zip")
    content = bytearray(saved.read_bytes())
    at = content.index(b"recipe0.toml") + 40
    content[at : at + 8] = b"\xff" * 8
    (tmp_path / "damaged.zip").write_bytes(content)
    with pytest.raises(ToolkitError, match=r"damaged.zip: no session's file, or a damaged one"):
        open_session(fresh, tmp_path / "damaged.zip")
    (tmp_path / "text.zip").write_text("hello")
    with pytest.raises(ToolkitError, match=r"text.zip: no session's file"):
        open_session(fresh, tmp_path / "text.zip")
    assert np.asarray(fresh.faces).size == 0


def test_a_direction_of_one_s_own_and_the_second_photo_come_along(session, fresh, inverter, astronaut, tmp_path):
    direction = next(iter(shipped_directions(inverter.generator.meta.fingerprint).values()))
    save_direction(tmp_path / "mine.npz", replace(direction, name="mine"))
    session.load_direction(tmp_path / "mine.npz")
    Image.fromarray(astronaut[:, ::-1]).save(tmp_path / "mirrored.png")
    session.start_second(tmp_path / "mirrored.png", GUESS).result()
    session.settle(Dials(((next(iter(session.own)), 0.5),), cross="coarse"))
    file = export(session, "session")
    assert str(tmp_path).encode() not in file.read_bytes()
    with zipfile.ZipFile(file) as archive:
        assert 'transfer = "mine.npz"' in archive.read("recipe0.toml").decode()
    open_session(fresh, file)
    assert fresh.second.latent.report["photo"]["name"] == session.second.latent.report["photo"]["name"]
    assert (fresh.result()[0] == session.result()[0]).all()
    assert fresh.recipe() == session.recipe()


def test_a_refused_file_leaves_the_second_photo_alone(session, saved, astronaut, tmp_path):
    Image.fromarray(astronaut[:, ::-1]).save(tmp_path / "mirrored.png")
    session.start_second(tmp_path / "mirrored.png", GUESS).result()
    kept = (session.folder / "second.npz").read_bytes()
    index = {**index_of(saved), "second": True, "photos": []}
    changes = {"session.json": json.dumps(index), "second.npz": zipfile.ZipFile(saved).read("face0-0.npz")}
    with pytest.raises(ToolkitError, match="0 photos in it"):
        open_session(session, rewritten(saved, tmp_path / "changed.zip", **changes))
    assert (session.folder / "second.npz").read_bytes() == kept
