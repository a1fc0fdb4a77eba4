import csv
import io
import os
from pathlib import Path

import pytest
from PIL import Image

from batch.toy import Negative, Seen, contents, make_photos
from inversion.batch import run
from inversion.batch.inputs import MANIFEST, find_inputs, safe_name
from inversion.batch.local import cores, workers_for
from inversion.batch.manifest import Manifest
from stylegan_core.console import Console
from stylegan_core.devices import num_gpus
from stylegan_core.errors import ConfigError, OutputError

TESTS = Path(__file__).resolve().parent.parent


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


@pytest.mark.slow
def test_the_photos_that_shared_a_chunk_with_a_killer_are_saved(tmp_path):
    make_photos(tmp_path / "in", ["a.png", "kill.png", "z.png"])
    summary = run(str(tmp_path / "in"), tmp_path / "out", Negative(), workers=1, batch=3)
    assert (summary.done, summary.failed) == (2, 1)
    assert set(contents(tmp_path / "out")) == {"a/negative.png", "z/negative.png"}


def test_an_output_that_is_a_file_a_missing_model_and_nonsense_are_refused(tmp_path):
    make_photos(tmp_path / "in", ["a.png"])
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        run(str(tmp_path / "in"), tmp_path / "file", Negative())
    with pytest.raises(ConfigError, match="the model is missing"):
        run(str(tmp_path / "in"), tmp_path / "out", Negative(broken=True), workers=1)
    with pytest.raises(ConfigError, match="engine"):
        run(str(tmp_path / "in"), tmp_path / "out", Negative(), engine="slurm")


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


def test_names_are_cut_to_what_file_systems_take(tmp_path):
    given = ["é" * 120 + ".png", "é" * 120 + ".jpg"]  # 240 bytes, and 360 where bytes become %XX
    make_photos(tmp_path / "in", given)
    odd = os.path.join(os.fsencode(tmp_path / "in"), b"\xe9" * 120 + b".png")
    with open(odd, "wb") as file:
        Image.new("RGB", (9, 9)).save(file, "PNG")
    summary = run(str(tmp_path / "in"), tmp_path / "out", Negative(), workers=1)
    assert (summary.done, summary.errors) == (3, [])
    folders = {Path(name).parent.name for name in contents(tmp_path / "out")}
    assert len(folders) == 3
    assert max(len(os.fsencode(name)) for name in folders) < 255


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
    with pytest.raises(ConfigError, match="is the output folder too"):
        list(find_inputs([str(tmp_path / "in" / "out")], tmp_path / "in" / "out"))
    with pytest.raises(ConfigError, match="no file matches"):
        named(tmp_path / "in" / "*.gif")


@pytest.mark.parametrize(("visible", "expected"), [("", {0, 1}), ("3,5", {3, 5})])
def test_workers_take_one_gpu_each_of_those_that_are_visible(tmp_path, monkeypatch, visible, expected):
    monkeypatch.setattr("inversion.batch.local.num_gpus", lambda name: 2 if name == "cuda" else 0)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    make_photos(tmp_path / "in", [f"{index}.png" for index in range(6)])
    seen = []
    run(str(tmp_path / "in"), tmp_path / "out", Seen(), batch=1,
        callback=lambda item, result: seen.append(result.metrics["gpu"]))  # fmt: skip
    assert len(seen) == 6 and set(seen) == expected


def test_a_cpu_s_workers_are_told_nothing_of_gpus(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    assert [num_gpus(name) for name in ("auto", "cuda", "cuda:1", "cpu")] == [4, 4, 0, 0]
    assert workers_for(Seen(), 0) == 4 and workers_for(Seen(), 7) == 7
    assert workers_for(Negative(), 0) == cores()
