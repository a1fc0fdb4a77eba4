"""What may go wrong around a run: processes killed, disks full, photos and folders that change under it."""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

import cli
from batch.toy import ENVIRONMENT, Negative, contents, make_photos
from inversion.batch import Result, run
from inversion.batch.inputs import MANIFEST, find_inputs
from inversion.batch.manifest import Manifest
from inversion.batch.runner import MAX_DEATHS, Summary, _process, in_use
from stylegan_core.console import Console
from stylegan_core.errors import ConfigError, OutputError
from stylegan_core.locking import locked


def start_toy(source, out, delay):
    command = [sys.executable, "-m", "batch.toy", str(source), str(out), str(delay)]
    return subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def children(pid):
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def kill_at_random_moments(tmp_path, times, seed):
    """Kill the run, or one of its processes, and compare what the same command makes of it with an undisturbed run."""
    make_photos(tmp_path / "in", [f"{index:02}.png" for index in range(24)])
    run(str(tmp_path / "in"), tmp_path / "undisturbed", Negative(), workers=2, batch=3)
    expected, moments = contents(tmp_path / "undisturbed"), random.Random(seed)
    for attempt in range(times):
        out = tmp_path / f"out{attempt}"
        process = start_toy(tmp_path / "in", out, 0.05)
        while not list(out.glob("*/negative.png")) and process.poll() is None:
            time.sleep(0.02)
        time.sleep(moments.uniform(0, 0.5))
        victims = [process.pid] if attempt % 2 == 0 else children(process.pid)
        os.kill(moments.choice(victims), signal.SIGKILL)
        code = process.wait()
        assert code == (-signal.SIGKILL if attempt % 2 == 0 else 0)
        if code:
            summary = run(str(tmp_path / "in"), out, Negative(), workers=2, batch=3)
            assert summary.done + summary.kept == 24
        assert contents(out) == expected


def test_killed_and_run_again_it_ends_as_if_undisturbed(tmp_path):
    kill_at_random_moments(tmp_path, times=1, seed=0)


@pytest.mark.slow
def test_killed_at_ten_random_moments_it_ends_as_if_undisturbed(tmp_path):
    kill_at_random_moments(tmp_path, times=10, seed=1)


def test_workers_end_with_a_run_that_was_killed(tmp_path):
    make_photos(tmp_path / "in", [f"{index:02}.png" for index in range(9)])
    process = start_toy(tmp_path / "in", tmp_path / "out", 1000)
    while not any(Path(f"/proc/{child}/task").is_dir() for child in children(process.pid)):
        time.sleep(0.05)
    workers = children(process.pid)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 120  # a worker that is still importing torch ends after that
    while any(_lives(worker) for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(_lives(worker) for worker in workers)


def _lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
def test_of_500_photos_with_five_bad_ones_495_are_done_and_5_named(tmp_path):
    make_photos(tmp_path / "in", [f"{index:03}.png" for index in range(495)])
    good = (tmp_path / "in" / "000.png").read_bytes()
    for name, data in {"x1.png": b"", "x2.jpg": b"text", "x3.png": good[:60], "x4.webp": b"RIFF"}.items():
        (tmp_path / "in" / name).write_bytes(data)
    Image.new("RGB", (1, 1)).save(tmp_path / "in" / "x5.png")
    seen = []
    summary = run(str(tmp_path / "in"), tmp_path / "out", Negative(), workers=2,
                  callback=lambda item, result: seen.append(item.name))  # fmt: skip
    assert (summary.done, summary.failed) == (495, 5)
    assert len(seen) == len(set(seen)) == 500
    assert sorted(line.split("/in/")[1][:2] for line in summary.errors) == ["x1", "x2", "x3", "x4", "x5"]
    assert len(contents(tmp_path / "out")) == 495


def test_a_second_run_into_one_folder_is_refused_with_exit_code_1(tmp_path):
    make_photos(tmp_path / "in", ["a.png"])
    with locked(tmp_path / "out"):
        assert in_use(tmp_path / "out")
        result = CliRunner().invoke(cli.main, ["batch", str(tmp_path / "in"), "--out", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert "another run works in it" in result.output
    assert not in_use(tmp_path / "out")
    assert not (tmp_path / "out" / MANIFEST).exists()


def test_a_full_disk_stops_the_run_and_fails_no_photo(tmp_path):
    make_photos(tmp_path / "in", ["a.png", "b.png", "c.png"])
    with pytest.raises(OutputError, match=r"No space left on device.*run the same command again"):
        run(str(tmp_path / "in"), tmp_path / "out", Negative(full_at="b.png"), workers=1, batch=1)
    manifest = Manifest(tmp_path / "out" / MANIFEST)
    assert manifest.summary() == {"done": 1, "pending": 1, "running": 1}
    manifest.close()
    result = CliRunner().invoke(cli.main, ["batch", "status", str(tmp_path / "out")])
    assert "1 interrupted; the same command goes on" in result.output
    summary = run(str(tmp_path / "in"), tmp_path / "out", Negative(), workers=1, batch=1)
    assert (summary.done, summary.kept, summary.failed) == (2, 1, 0)


def test_a_manifest_that_cannot_be_written_is_one_sentence(tmp_path):
    manifest = Manifest(tmp_path / "m.sqlite")
    pages = manifest.connection.execute("PRAGMA page_count").fetchone()[0]
    manifest.connection.execute(f"PRAGMA max_page_count = {pages}")  # as a disk without room for another page
    inputs = find_inputs([str(tmp_path / f"{index:04}.png") for index in range(2000)], tmp_path)
    with pytest.raises(OutputError, match=r"is full.*free some space"):
        manifest.register(inputs, "key", tmp_path, 8, 1)
    assert manifest.summary() == {}
    manifest.close()


def test_a_folder_that_may_not_be_written_is_one_sentence(tmp_path):
    with tempfile.TemporaryDirectory() as temporary:
        closed, user = Path(temporary, "out"), os.geteuid()
        closed.mkdir()
        os.chmod(temporary, 0o755)
        os.chmod(closed, 0o555)
        try:
            if user == 0:
                os.seteuid(65534)  # nobody: root may write anywhere
            with pytest.raises(OutputError, match=r"out: cannot be written \(Permission denied\); choose"):
                run(str(tmp_path), closed, Negative())
        finally:
            os.seteuid(user)


def test_a_photo_that_vanishes_in_mid_run_is_named(tmp_path):
    make_photos(tmp_path / "in", ["a.png", "b.png", "c.png"])
    summary = run(str(tmp_path / "in"), tmp_path / "out", Negative(), workers=1, batch=1,
                  callback=lambda *_: (tmp_path / "in" / "b.png").unlink(missing_ok=True))  # fmt: skip
    assert (summary.done, summary.failed) == (2, 1)
    assert "b.png: no such file" in summary.errors[0]


def test_a_photo_that_changes_in_mid_run_is_done_again_by_the_next_run(tmp_path):
    make_photos(tmp_path / "in", ["a.png", "b.png"])

    def change(item, result):
        if item.name == "a":
            make_photos(tmp_path / "in", ["b.png"], side=30)

    lines = []
    console = Console()
    console.say = lines.append
    run(str(tmp_path / "in"), tmp_path / "out", Negative(), workers=1, batch=1, callback=change)
    again = run(str(tmp_path / "in"), tmp_path / "out", Negative(), workers=1, batch=1, console=console)
    assert (again.done, again.kept) == (1, 1)
    assert "1 done again (photo changed)" in lines[0]
    with Image.open(tmp_path / "out" / "b" / "negative.png") as picture:
        assert picture.size == (30, 30)
    assert run(str(tmp_path / "in"), tmp_path / "out", Negative(), workers=1, batch=1).kept == 2


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    make_photos(tmp_path / "in", ["a.png", "closed/b.png"])
    scandir = os.scandir

    def refuse(path):
        if os.path.basename(path) == "closed":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = {Path(entered.path).name: entered.problem for entered in find_inputs([str(tmp_path / "in")], tmp_path)}
    assert found == {"a.png": "", "closed": "cannot be listed (Permission denied)"}


def test_workers_that_die_one_after_the_other_end_the_run(tmp_path):
    make_photos(tmp_path / "in", [f"{index:02}.png" for index in range(MAX_DEATHS)])

    class Deadly:
        def run(self, chunks):
            yield from ((chunk, None) for chunk in chunks)

    manifest = Manifest(tmp_path / MANIFEST)
    manifest.register(find_inputs([str(tmp_path / "in")], tmp_path), "key", tmp_path, 1, 1)
    with pytest.raises(ConfigError, match=f"{MAX_DEATHS} workers died in a row; take fewer --workers"):
        _process(manifest, Deadly(), Summary(), None, Console(quiet=True))
    manifest.close()


def test_what_is_passed_over_in_folders_is_counted(tmp_path):
    make_photos(tmp_path / "in", ["a.png"])
    for name in ("b.pdf", "c.PDF", "notes", ".hidden"):
        (tmp_path / "in" / name).write_text("")
    lines = []
    console = Console()
    console.say = lines.append
    run(str(tmp_path / "in"), tmp_path / "out", Negative(), workers=1, console=console)
    assert "3 files are of other kinds and passed over: 2 .pdf, 1 no suffix" in lines


def test_a_failure_keeps_the_files_of_an_earlier_time_known(tmp_path):
    make_photos(tmp_path / "in", ["a.png"])
    run(str(tmp_path / "in"), tmp_path / "out", Negative(), workers=1)
    manifest = Manifest(tmp_path / "out" / MANIFEST)
    manifest.register(find_inputs([str(tmp_path / "in")], tmp_path), "two", tmp_path / "out", 1, 1)
    ((item,),) = manifest.pending()
    manifest.record([Result(item.id, "it failed")])
    manifest.register(find_inputs([str(tmp_path / "in")], tmp_path), "three", tmp_path / "out", 1, 1)
    ((later,),) = manifest.pending()
    assert later == item
    assert (set(item.outputs), item.made_with) == ({"negative.png"}, "one")
    manifest.close()


@pytest.mark.slow
def test_ray_gives_the_same_files_and_survives_a_dying_worker(tmp_path):
    pytest.importorskip("ray")
    make_photos(tmp_path / "in", ["a.png", "b.png", "kill.png", "z.png"])
    code = (
        "import sys; from batch.toy import Negative; from inversion.batch import run\n"
        "s = run(sys.argv[1], sys.argv[2], Negative(), engine='ray', workers=2, batch=1); print(s.done, s.failed)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "in"), str(tmp_path / "ray")]
    result = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=True, timeout=240)
    assert result.stdout.split()[-2:] == ["3", "1"]
    run(str(tmp_path / "in"), tmp_path / "local", Negative(), workers=1, batch=1)
    assert contents(tmp_path / "ray") == contents(tmp_path / "local")


@pytest.mark.slow
def test_10000_photos_take_no_more_memory_than_100(tmp_path):
    peaks = {}
    for number in (100, 10_000):
        make_photos(tmp_path / str(number), [f"{index // 500:02}/{index:05}.png" for index in range(number)], side=8)
        command = [sys.executable, "-m", "batch.toy", str(tmp_path / str(number)), str(tmp_path / f"out{number}"), "0"]
        result = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=True)
        done, *memory = map(int, result.stdout.split())
        assert done == number
        peaks[number] = memory
    for few, many in zip(peaks[100], peaks[10_000], strict=True):  # the run itself, and the largest worker
        assert many < few * 1.1, peaks
