"""One tab's work without the page: history, recipe, limits, other checkpoints."""

import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from editing.codes import open_code
from editing.editor import Editor
from editing.operations.crossover import Crossover
from editing.operations.drag import Drag
from editing.operations.measures import SetMeasures
from editing.operations.transfer import Transfer
from editing.operations.truncate import Truncate
from editing.pasted import paste_photo
from editing.recipe import format_recipe, parse_recipe
from editing.studio import dials as dials_module
from editing.studio.dials import Dials, History
from editing.studio.exports import EXPORTS, export
from editing.studio.jobs import Cancelled, Job, Turn
from editing.studio.offer import offered
from editing.studio.searches import SearchChoice
from editing.studio.session import Session
from editing.studio.sessions import MAX_SESSIONS, Sessions
from inversion.config import InvertConfig, ProjectionConfig
from inversion.invert import Inverter
from inversion.latents import load_latent
from stylegan_core.assets import asset_path
from stylegan_core.directions import save_direction, shipped_directions
from stylegan_core.errors import ConfigError, ImageError, LatentMismatchError
from stylegan_core.images import read_photo

FOREIGN = Path(__file__).resolve().parents[1] / "data" / "rosinality-32.pt"
QUICK = SearchChoice("project", "w+", 2, 0)


@pytest.fixture(scope="module")
def inverter():
    return Inverter(InvertConfig(), ProjectionConfig(steps=2))


@pytest.fixture
def session(inverter, tmp_path):
    session = Session(inverter, tmp_path / "session", 10_000_000)
    yield session
    session.close()


@pytest.fixture
def inverted(session, astronaut_file):
    session.load_photo(astronaut_file)
    session.start_inversion([0], QUICK).result()
    return session


def test_undo_and_redo_walk_the_history_and_an_edit_cuts_what_was_undone(monkeypatch):
    monkeypatch.setattr(dials_module, "ONE_MOVE", 0.0)
    history = History()
    for psi in (0.9, 0.8, 0.7):
        history.push(Dials(psi=psi))
    assert (history.can_undo, history.can_redo) == (True, False)
    history.go(1)
    assert (history.now.psi, history.can_redo) == (0.9, True)
    history.push(Dials(psi=0.9))  # nothing moved
    assert history.can_redo
    history.push(Dials(psi=0.5))
    assert [entry.psi for entry in history.entries] == [1.0, 0.9, 0.5]
    history.go(-5)
    assert history.now == Dials()
    history.go(99)
    assert history.now.psi == 0.5


def test_fast_moves_of_one_control_are_one_edit_and_of_two_are_two():
    history = History()
    for strength in (0.1, 0.2, 0.3):
        history.push(Dials((("smile", strength),)))
    assert [entry.strengths for entry in history.entries] == [(), (("smile", 0.3),)]
    history.push(Dials((("smile", 0.3), ("age", 1.0))))
    assert len(history.entries) == 3


def test_a_guess_can_be_edited_at_once_and_the_search_takes_its_place_under_the_edits(session, astronaut_file):
    session.load_photo(astronaut_file)
    assert session.guess([0], QUICK)
    guessed = session.inverted[0]
    session.settle(Dials((("smile", 1.0),)))
    before, _ = session.result()
    session.start_inversion([0], replace(QUICK, method="hybrid", steps=6)).result()
    found = session.inverted[0]
    assert session.history.now == Dials((("smile", 1.0),)) and session.history.can_undo
    assert found.latent.report["scores"]["psnr"] > guessed.latent.report["scores"]["psnr"]
    assert (session.result()[0] != before).any()
    assert session.guess([0], QUICK) and session.inverted[0] is found  # what was found is not guessed again
    assert session.recipe().projection.steps == 6


def test_dials_become_operations_in_a_fixed_order():
    dials = Dials((("smile", 0.5), ("age", -1.0)), cross="coarse", seed=7, mix="0,3", psi=0.8)
    expected = (Transfer("smile", 0.5), Transfer("age", -1.0), Crossover("7", "0,3"), Truncate(0.8))
    assert dials.operations() == expected  # without a second photo nothing is taken from it
    crossed = Crossover("second.npz", "coarse")
    assert dials.operations("second.npz") == (*expected[:2], crossed, *expected[2:])
    assert dials.with_strength("age", 0).strengths == (("smile", 0.5),)
    assert Dials().operations() == ()
    held = replace(dials, border=True).operations()
    assert [operation.keep for operation in held] == ["border"] * 4
    assert [replace(operation, keep="") for operation in held] == list(expected)


def test_the_result_is_what_the_library_makes(inverted, astronaut_file):
    inverted.settle(Dials((("smile", -1.0),), psi=0.9, paste="full"))
    generator, latent = inverted.generator, inverted.inverted[0].latent
    expected = Editor(generator, latent).apply(Transfer("smile", -1.0), Truncate(0.9))
    assert torch.equal(inverted.edited_latents()[0].ws, expected.latent.ws)
    pasted = paste_photo(read_photo(astronaut_file), [expected], "full")
    assert (inverted.result()[0] == pasted.rgb).all()
    assert (np.asarray(Image.open(export(inverted, "photo"))) == pasted.rgb).all()
    assert "the edited mouth is blurred" in " ".join(inverted.notes())
    assert inverted.notes() == list(pasted.doubts[0])


def test_the_second_photo_and_a_seed_give_their_layers(inverted, astronaut, tmp_path):
    mirrored = tmp_path / "mirrored.png"
    Image.fromarray(astronaut[:, ::-1]).save(mirrored)
    inverted.start_second(mirrored, QUICK).result()
    inverted.settle(Dials(cross="0-1", seed=5, mix="3"))
    ws, second = inverted.edited_latents()[0].ws, load_latent(export(inverted, "second")).ws
    assert torch.equal(ws[:, :2], second[:, :2])
    assert torch.equal(ws[:, 3], open_code("5", inverted.generator).ws[:, 3])
    assert torch.equal(ws[:, 4:], inverted.inverted[0].latent.ws[:, 4:])
    assert Crossover("second.npz", "0-1") in inverted.recipe().edits


def test_a_recipe_names_no_place_of_this_machine(inverted, tmp_path):
    direction = next(iter(shipped_directions(inverted.generator.meta.fingerprint).values()))
    save_direction(tmp_path / "mine.npz", replace(direction, name="mine"))
    inverted.load_direction(tmp_path / "mine.npz")
    (mine,) = [dial for dial in offered(inverted) if "your file" in dial.label]
    inverted.settle(Dials(((mine.name, 0.5),)))
    text = format_recipe(inverted.recipe())
    assert parse_recipe(text) == inverted.recipe()
    assert [step.transfer for step in inverted.recipe().edits] == ["mine.npz"]
    latent = load_latent(export(inverted, "latent"))
    assert latent.report["photo"]["path"] == "astronaut.png"
    assert [edit["transfer"] for edit in latent.report["edits"]] == ["mine.npz"]
    assert str(tmp_path) not in text + str(latent.report)


def test_what_another_checkpoint_does_not_take_is_offered_with_the_reason(inverted):
    before = offered(inverted)
    assert before[0].name == "smile"
    assert not any(dial.reason for dial in before)
    inverted.load_checkpoint(FOREIGN)
    assert inverted.inverted == {}
    assert inverted.recipe().edits == ()
    after = offered(inverted)
    assert {dial.name for dial in after} == {dial.name for dial in before}
    assert all("made for" in dial.reason for dial in after)
    inverted.start_inversion([0], QUICK).result()
    assert inverted.recipe().invert.generator == FOREIGN.name
    with pytest.raises(LatentMismatchError, match="made for"):
        inverted.load_direction(next(asset_path("directions").glob("*.npz")))


def test_what_was_searched_for_is_not_searched_again(inverted, monkeypatch):
    inverted.settle(Dials(measures=(("yaw", 6.0),)))
    turned = inverted.edited_latents()[0].ws

    def again(*_):
        raise AssertionError("searched again")

    monkeypatch.setattr("editing.reach.reach", again)
    monkeypatch.setattr("editing.drag.ROUNDS", (2,))
    inverted.settle(inverted.history.now.with_other("drag", "244,142:250,136"))  # after the measures, as in commands
    assert [type(operation) for operation in inverted.recipe().edits] == [SetMeasures, Drag]
    assert (inverted.edited_latents()[0].ws != turned).any()
    inverted.preview(inverted.history.now.with_strength("smile", 0.5))  # the steps are repeated after other edits too
    with pytest.raises(AssertionError, match="searched again"):
        inverted.settle(inverted.history.now.with_strength("smile", 0.5))


def test_what_is_missing_is_said(session, inverter, astronaut_file, tmp_path):
    for call in (lambda: session.preview(Dials()), lambda: session.settle(Dials()), *(
        lambda what=what: export(session, what) for what in EXPORTS if what != "recipe"
    )):  # fmt: skip
        with pytest.raises(ConfigError, match=r"no (photo yet|face is inverted|second photo)"):
            call()
    with pytest.raises(ConfigError, match="nothing to download"):
        export(session, "../session")
    session.load_photo(astronaut_file)
    with pytest.raises(ConfigError, match="no face is chosen"):
        session.start_inversion([], QUICK)
    small = Session(inverter, tmp_path / "small", 1000)
    with pytest.raises(ImageError, match="more than the 1,000"):
        small.load_photo(astronaut_file)


def test_a_cancelled_search_changes_nothing(inverted):
    before = inverted.inverted
    job = inverted.start_inversion([0], replace(QUICK, steps=100_000))
    while not job.step:
        time.sleep(0.01)
    inverted.cancel()
    with pytest.raises(Cancelled):
        job.result()
    assert inverted.inverted is before
    assert job.step < 100_000


def test_searches_come_one_after_the_other_and_one_that_waits_can_be_cancelled():
    turn, go_on = Turn(), threading.Event()
    first = Job(1, lambda ws: None, lambda job: go_on.wait(60), turn)
    second = Job(1, lambda ws: None, lambda job: "second", turn)
    third = Job(1, lambda ws: None, lambda job: "third", turn)
    assert second.wait(0.2) and second.waits
    third.cancel()
    assert third.stopped()
    go_on.set()
    assert second.result() == "second"
    assert not first.stopped() and not second.waits


def test_a_job_hands_its_error_on():
    def work(job):
        raise ConfigError("no")

    with pytest.raises(ConfigError, match="no"):
        Job(1, lambda ws: None, work).result()


def test_only_so_many_tabs_are_kept_and_what_is_closed_is_deleted(inverter, tmp_path):
    sessions = Sessions(inverter, tmp_path, 1000)
    first = sessions.of("tab0")
    assert sessions.of("tab0") is first
    assert sessions.by_token(first.token) is first
    for number in range(1, MAX_SESSIONS + 1):
        sessions.of(f"tab{number}")
    assert sessions.by_token(first.token) is None
    assert not first.folder.exists()
    assert len(list(tmp_path.iterdir())) == MAX_SESSIONS
    sessions.close_all()
    assert list(tmp_path.iterdir()) == []


def test_a_page_that_is_loaded_anew_finds_its_work_and_a_closed_one_is_deleted(inverter, tmp_path):
    sessions, key = Sessions(inverter, tmp_path, 1000, grace=0.3), "k" * 48
    first = sessions.again("tab1", key)
    assert sessions.again("other", "x" * 48) is not first
    assert sessions.again("tab2", key) is first  # before the server has noticed that the first page is gone
    sessions.close("tab1")
    time.sleep(0.6)
    assert sessions.by_token(first.token) is first
    sessions.close("tab2")
    assert sessions.again("tab3", key) is first  # within the grace
    sessions.close("tab3")
    deadline = time.monotonic() + 60
    while first.folder.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not first.folder.exists()
    assert sessions.again("tab4", key) is not first
    assert sessions.again("tab5", "short") is not sessions.again("tab6", "short")  # such a key could be guessed
    sessions.close_all()


def test_sessions_can_be_asked_for_from_many_threads(inverter, tmp_path):
    sessions = Sessions(inverter, tmp_path, 1000)
    found = []
    threads = [threading.Thread(target=lambda: found.append(sessions.of("tab"))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == 1
