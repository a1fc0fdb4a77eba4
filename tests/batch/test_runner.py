import csv
import hashlib
import io
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from batch.toy import Negative
from inversion.batch import run
from inversion.batch.inputs import find_inputs, safe_name
from inversion.batch.manifest import Manifest
from inversion.batch.runner import MANIFEST, locked
from stylegan_core.console import Console
from stylegan_core.errors import ConfigError, OutputError

TESTS = Path(__file__).resolve().parent.parent


def make_photos(folder, names, side=10):
    for index, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = np.random.RandomState(index).randint(0, 256, (side, side, 3)).astype(np.uint8)
        Image.fromarray(picture).save(path)


def contents(out):
    """Return every output file with its digest, the run's own records left out."""
    own = {MANIFEST, MANIFEST + "-wal", MANIFEST + "-shm", ".lock"}
    files = [path for path in out.rglob("*") if path.is_file() and path.name not in own]
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_run_does_everything_once_and_again_does_nothing(tmp_path):
    make_photos(tmp_path / "in", ["a.png", "b.jpg", "sub/a.png", "sub/deep/c.png"])
    seen = []
    summary = run(str(tmp_path / "in"), tmp_path / "out", Negative(), workers=2, batch=2,
                  callback=lambda item, result: seen.append((item.name, result.done)))  # fmt: skip
    assert (summary.done, summary.failed) == (4, 0)
    assert sorted(seen) == [("a", True), ("b", True), ("sub/a", True), ("sub/deep/c", True)]
    assert len(contents(tmp_path / "out")) == 4
    again = run(str(tmp_path / "in"), tmp_path / "out", Negative(), workers=2, batch=2)
    assert (again.done, again.kept) == (0, 4)


def test_what_changed_is_done_again_and_nothing_else(tmp_path):
    make_photos(tmp_path / "in", ["a.png", "b.png", "c.png"])
    source, out = str(tmp_path / "in"), tmp_path / "out"
    run(source, out, Negative(), workers=1)
    Image.new("RGB", (12, 12), "red").save(tmp_path / "in" / "b.png")
    (out / "c" / "negative.png").unlink()
    make_photos(tmp_path / "in", ["d.png"])
    summary = run(source, out, Negative(), workers=1)
    assert (summary.done, summary.kept) == (3, 1)
    with Image.open(out / "b" / "negative.png") as redone:
        assert redone.size == (12, 12)
    assert run(source, out, Negative(key="two"), workers=1).done == 4


def test_bad_photos_bugs_and_dying_workers_take_nothing_else_with_them(tmp_path):
    make_photos(tmp_path / "in", ["a.png", "bug.png", "c.png", "d.png", "kill.png", "z.png"])
    (tmp_path / "in" / "bad.jpg").write_text("no image")
    console = Console(quiet=True)
    summary = run(str(tmp_path / "in"), tmp_path / "out", Negative(), workers=2, batch=1, console=console)
    assert (summary.done, summary.failed) == (4, 3)
    for word in (
        "bad.jpg: not a readable image",
        "bug.png: unexpected RuntimeError: a bug",
        "kill.png: its worker died",
    ):
        assert any(word in line for line in console.failures)
    manifest = Manifest(tmp_path / "out" / MANIFEST)
    assert manifest.summary() == {"done": 4, "failed": 3}
    text = io.StringIO()
    manifest.export(text)
    rows = list(csv.DictReader(io.StringIO(text.getvalue())))
    assert {row["name"]: row["side"] for row in rows}["a"] == "10"
    later = run(str(tmp_path / "in"), tmp_path / "out", Negative(), workers=1)
    assert (later.done, later.failed, later.kept, later.failed_before) == (0, 0, 4, 3)
    assert manifest.retry() == 3
    manifest.close()
    (tmp_path / "in" / "kill.png").unlink()
    assert run(str(tmp_path / "in"), tmp_path / "out", Negative(), workers=1, batch=1).failed == 2


def test_the_photos_that_shared_a_chunk_with_a_killer_are_saved(tmp_path):
    make_photos(tmp_path / "in", ["a.png", "kill.png", "z.png"])
    summary = run(str(tmp_path / "in"), tmp_path / "out", Negative(), workers=1, batch=3)
    assert (summary.done, summary.failed) == (2, 1)
    assert set(contents(tmp_path / "out")) == {"a/negative.png", "z/negative.png"}


def kill_at_random_moments(tmp_path, times, seed):
    names = [f"{index:02}.png" for index in range(24)]
    make_photos(tmp_path / "in", names)
    run(str(tmp_path / "in"), tmp_path / "undisturbed", Negative(), workers=2, batch=3)
    expected, moments = contents(tmp_path / "undisturbed"), random.Random(seed)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)])}
    for attempt in range(times):
        out = tmp_path / f"out{attempt}"
        command = [sys.executable, "-m", "batch.toy", str(tmp_path / "in"), str(out), "0.05"]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not list(out.glob("*/negative.png")) and process.poll() is None:
            time.sleep(0.02)
        time.sleep(moments.uniform(0, 0.5))
        process.send_signal(signal.SIGKILL)
        process.wait()
        summary = run(str(tmp_path / "in"), out, Negative(), workers=2, batch=3)
        assert summary.done + summary.kept == 24
        assert contents(out) == expected


def test_killed_and_run_again_it_ends_as_if_undisturbed(tmp_path):
    kill_at_random_moments(tmp_path, times=1, seed=0)


@pytest.mark.slow
def test_killed_at_ten_random_moments_it_ends_as_if_undisturbed(tmp_path):
    kill_at_random_moments(tmp_path, times=10, seed=1)


@pytest.mark.slow
def test_of_500_photos_with_five_bad_ones_495_are_done_and_5_named(tmp_path):
    make_photos(tmp_path / "in", [f"{index:03}.png" for index in range(495)])
    good = (tmp_path / "in" / "000.png").read_bytes()
    for name, data in {"x1.png": b"", "x2.jpg": b"text", "x3.png": good[:60], "x4.webp": b"RIFF"}.items():
        (tmp_path / "in" / name).write_bytes(data)
    Image.new("RGB", (1, 1)).save(tmp_path / "in" / "x5.png")
    summary = run(str(tmp_path / "in"), tmp_path / "out", Negative(), workers=2)
    assert (summary.done, summary.failed) == (495, 5)
    assert sorted(line.split("/in/")[1][:2] for line in summary.errors) == ["x1", "x2", "x3", "x4", "x5"]
    assert len(contents(tmp_path / "out")) == 495


def test_two_runs_into_one_folder_are_refused(tmp_path):
    make_photos(tmp_path / "in", ["a.png"])
    with locked(tmp_path / "out"), pytest.raises(OutputError, match="another run"):
        run(str(tmp_path / "in"), tmp_path / "out", Negative())


def test_an_output_that_is_a_file_a_missing_model_and_nonsense_are_refused(tmp_path):
    make_photos(tmp_path / "in", ["a.png"])
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        run(str(tmp_path / "in"), tmp_path / "file", Negative())
    with pytest.raises(ConfigError, match="the model is missing"):
        run(str(tmp_path / "in"), tmp_path / "out", Negative(broken=True), workers=1)
    with pytest.raises(ConfigError, match="engine"):
        run(str(tmp_path / "in"), tmp_path / "out", Negative(), engine="slurm")


def test_a_photo_that_vanishes_in_mid_run_is_named(tmp_path):
    make_photos(tmp_path / "in", ["a.png", "b.png"])
    threading.Timer(0.0, (tmp_path / "in" / "b.png").unlink).start()
    summary = run(
        [str(tmp_path / "in" / "a.png"), str(tmp_path / "in" / "b.png")], tmp_path / "out", Negative(), workers=1
    )
    assert (summary.done, summary.failed) == (1, 1)
    assert "b.png: no such file" in summary.errors[0]


def test_names_are_unique_and_no_item_s_folder_is_inside_another_s(tmp_path):
    make_photos(tmp_path / "in", ["me.jpg", "me.png", "ME.webp", "me/x.png", "a/b.png"])
    summary = run(str(tmp_path / "in"), tmp_path / "out", Negative(), workers=1)
    assert summary.done == 5
    folders = [Path(name).parent for name in contents(tmp_path / "out")]
    assert len(set(folders)) == 5
    assert not any(one in other.parents for one in folders for other in folders)


def test_odd_names_are_made_safe_and_still_found(tmp_path):
    assert safe_name("a\nb/c:d/../é") == "a%0Ab/c%3Ad/é"
    assert safe_name("..") == "photo"
    odd = [b"new\nline.png", b"latin\xe9.png", "ü ñ.png".encode()]
    (tmp_path / "in").mkdir()
    for name in odd:
        with open(os.path.join(os.fsencode(tmp_path / "in"), name), "wb") as file:
            Image.new("RGB", (9, 9)).save(file, "PNG")
    summary = run(str(tmp_path / "in"), tmp_path / "out", Negative(), workers=1)
    assert summary.done == 3
    assert {str(Path(name).parent) for name in contents(tmp_path / "out")} == {"new%0Aline", "latin%E9", "ü ñ"}


def test_links_out_of_the_folder_are_named_and_not_followed(tmp_path):
    make_photos(tmp_path / "elsewhere", ["secret.png"])
    make_photos(tmp_path / "in", ["a.png"])
    (tmp_path / "in" / "link.png").symlink_to(tmp_path / "elsewhere" / "secret.png")
    (tmp_path / "in" / "folder").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "inside.png").symlink_to(tmp_path / "in" / "a.png")
    found = {
        Path(entered.path).name: bool(entered.problem) for entered in find_inputs([str(tmp_path / "in")], tmp_path)
    }
    assert found == {"a.png": False, "folder": True, "link.png": True, "inside.png": False}
    summary = run(str(tmp_path / "in"), tmp_path / "out", Negative(), workers=1)
    assert (summary.done, summary.failed) == (2, 2)
    assert all("is a link out of the folder" in error for error in summary.errors)
    again = run(str(tmp_path / "in"), tmp_path / "out", Negative(), workers=1)
    assert (again.kept, again.failed, again.failed_before) == (2, 0, 2)
    assert not (tmp_path / "out" / "link").exists()


def test_folders_lists_and_globs_are_understood_and_the_output_is_left_out(tmp_path):
    make_photos(tmp_path / "in", ["a.png", "b.jpg", "out/z.png", ".hidden.png"])
    (tmp_path / "in" / "notes.txt").write_text("a.png\n\nb.jpg\n")
    named = lambda *given: [Path(e.path).name for e in find_inputs([str(g) for g in given], tmp_path / "in" / "out")]  # noqa: E731
    assert named(tmp_path / "in") == ["a.png", "b.jpg"]
    assert named(tmp_path / "in" / "notes.txt") == ["a.png", "b.jpg"]
    assert named(tmp_path / "in" / "*.png") == ["a.png"]
    with pytest.raises(ConfigError, match="no file matches"):
        named(tmp_path / "in" / "*.gif")


def test_a_full_disk_is_one_sentence(tmp_path, monkeypatch):
    make_photos(tmp_path / "in", ["a.png"])
    import sqlite3

    class Full:
        def __getattr__(self, name):
            raise sqlite3.OperationalError("database or disk is full")

    manifest = Manifest(tmp_path / "m.sqlite")
    manifest.connection.close()
    manifest.connection = Full()
    with pytest.raises(OutputError, match="disk is full"):
        manifest.record([])


@pytest.mark.slow
def test_ray_gives_the_same_files_and_survives_a_dying_worker(tmp_path):
    pytest.importorskip("ray")
    make_photos(tmp_path / "in", ["a.png", "b.png", "kill.png", "z.png"])
    code = (
        "import sys; from batch.toy import Negative; from inversion.batch import run\n"
        "s = run(sys.argv[1], sys.argv[2], Negative(), engine='ray', workers=2, batch=1); print(s.done, s.failed)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)])}
    command = [sys.executable, "-c", code, str(tmp_path / "in"), str(tmp_path / "ray")]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=240)
    assert result.stdout.split()[-2:] == ["3", "1"]
    run(str(tmp_path / "in"), tmp_path / "local", Negative(), workers=1, batch=1)
    assert contents(tmp_path / "ray") == contents(tmp_path / "local")
