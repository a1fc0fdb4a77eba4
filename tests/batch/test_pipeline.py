"""What the batch does with real photos: it keeps what need not be done again, and holds its limits."""

import io
import json
import signal
import struct
import time
import zlib
from dataclasses import replace

import pytest
from PIL import Image

import editing.pipeline
from editing.pipeline import EditPipeline
from editing.recipe import parse_recipe
from inversion.batch import Item
from inversion.invert import Inverter
from inversion.latents import load_latent

INVERT = "[invert]\nsteps = 2\n"
SMILE = INVERT + '[[edit]]\ntransfer = "smile"\nstrength = 0.5\n'
AUTO = INVERT + '[[edit]]\ntransfer = "smile"\nstrength = "auto"\ntarget = 0.6\nkeep = "age"\n'


@pytest.fixture(scope="module")
def photo(astronaut, tmp_path_factory):
    path = tmp_path_factory.mktemp("photos") / "a.png"
    Image.fromarray(astronaut[:220, 120:330]).save(path)
    return path


@pytest.fixture(scope="module")
def smiled(photo, tmp_path_factory):
    """A photo that went through SMILE: the folder, and the item as the next run would get it."""
    out, pipeline = tmp_path_factory.mktemp("out"), EditPipeline(parse_recipe(SMILE))
    (result,) = pipeline.open()([Item(1, str(photo), "a")], out)
    assert result.done, result.traceback
    return out, Item(1, str(photo), "a", result.outputs, pipeline.key, result.photo_sha256)


def without_search(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("this photo was searched again")

    monkeypatch.setattr(Inverter, "invert_faces", refuse)


@pytest.mark.parametrize("recipe", [AUTO, INVERT, INVERT + "[[edit]]\ntruncate = 0.5\ncutoff = 3\n"])
def test_a_changed_edit_keeps_the_inversions_and_gives_what_a_new_run_does(
    smiled, photo, recipe, monkeypatch, tmp_path
):
    out, item = smiled
    process = EditPipeline(parse_recipe(recipe)).open()
    (fresh,) = process([Item(1, str(photo), "a")], tmp_path / "fresh")
    for name in item.outputs:
        place = tmp_path / "out" / "a" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes((out / "a" / name).read_bytes())
    without_search(monkeypatch)
    (again,) = process([item], tmp_path / "out")
    assert again.done, again.traceback
    assert (again.outputs, again.metrics) == (fresh.outputs, fresh.metrics)
    left = {str(path.relative_to(tmp_path / "out" / "a")) for path in (tmp_path / "out" / "a").rglob("*.*")}
    assert left == set(again.outputs)


@pytest.mark.parametrize("what", ["option", "latent", "photo"])
def test_an_inversion_is_not_kept_where_anything_it_depends_on_changed(smiled, what, monkeypatch):
    out, item = smiled
    recipe = SMILE.replace("steps = 2", "steps = 3") if what == "option" else SMILE
    if what == "latent":
        item = replace(item, outputs={name: "0" * 64 for name in item.outputs})
    if what == "photo":
        item = replace(item, photo_sha256="0" * 64)
    without_search(monkeypatch)
    (result,) = EditPipeline(parse_recipe(recipe)).open()([item], out)
    assert "this photo was searched again" in result.error


def test_limits_alone_redo_nothing():
    key = EditPipeline(parse_recipe(SMILE)).key
    assert EditPipeline(parse_recipe(SMILE + "[limits]\nmax_seconds = 9\n")).key == key
    assert EditPipeline(parse_recipe(SMILE + '[output]\npaste = "none"\n')).key != key


def test_the_strength_auto_is_searched_for_each_photo_and_reported(photo, tmp_path):
    (result,) = EditPipeline(parse_recipe(AUTO)).open()([Item(1, str(photo), "a")], tmp_path)
    assert "face0/strength.png" in result.outputs
    report = json.loads((tmp_path / "a/face0/report.json").read_text())
    assert report["strength_search"]["options"]["target"] == 0.6
    assert report["edits"][0]["auto"] is True
    assert report["edits"][0]["keep"] == "age"


def test_a_pair_s_difference_is_an_edit_of_a_recipe(smiled, photo, tmp_path):
    out, _ = smiled
    latent = out / "a" / "face0" / "latent.npz"
    recipe = f'{INVERT}[[edit]]\ntransfer_from = ["{photo}", "{latent}"]\nstrength = 2\n'
    (result,) = EditPipeline(parse_recipe(recipe)).open()([Item(1, str(photo), "a")], tmp_path)
    assert result.done, result.traceback
    made, smiling = load_latent(tmp_path / "a/face0/latent.npz"), load_latent(latent)
    expected = smiling.origin + 2 * (smiling.ws - smiling.origin)  # the pair is this photo before and after its smile
    assert (made.ws - expected).abs().max() < 1e-4
    assert EditPipeline(parse_recipe(recipe)).key != EditPipeline(parse_recipe(recipe.replace("= 2\n", "= 1\n"))).key


def bomb(side):
    """Return a PNG of a few kilobytes that claims, and would be, side x side white pixels."""
    rows = zlib.compressobj(9)
    line = b"\0" + b"\xff" * (side // 8)
    data = b"".join(rows.compress(line) for _ in range(side)) + rows.flush()
    file = io.BytesIO(b"\x89PNG\r\n\x1a\n")
    file.seek(0, io.SEEK_END)
    for kind, body in ((b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)), (b"IDAT", data), (b"IEND", b"")):
        file.write(struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)))
    return file.getvalue()


def test_bombs_large_files_and_what_takes_too_long_are_named_and_the_rest_is_done(photo, tmp_path, monkeypatch):
    (tmp_path / "bomb.png").write_bytes(bomb(16_000))
    assert (tmp_path / "bomb.png").stat().st_size < 60_000
    (tmp_path / "large.png").write_bytes(photo.read_bytes() + bytes(200_000))
    (tmp_path / "slow.png").write_bytes(photo.read_bytes())
    read = editing.pipeline.read_photo

    def slowly(path, *limits):
        if path.endswith("slow.png"):
            signal.setitimer(signal.ITIMER_REAL, 0.01)  # as if its time were up, on a machine of any speed
            time.sleep(60)
        return read(path, *limits)

    monkeypatch.setattr(editing.pipeline, "read_photo", slowly)
    recipe = parse_recipe(INVERT + "[limits]\nmax_pixels = 1_000_000\nmax_bytes = 200_000\nmax_seconds = 600\n")
    names = ["bomb", "large", "slow"]
    items = [Item(index, str(tmp_path / f"{name}.png"), name) for index, name in enumerate(names)]
    results = EditPipeline(recipe).open()([*items, Item(9, str(photo), "good")], tmp_path / "out")
    assert [result.done for result in results] == [False, False, False, True]
    assert "16000x16000 is more than the 1,000,000 pixels" in results[0].error
    assert "more than the 200,000 that are read" in results[1].error
    assert results[2].error.endswith("slow.png: took longer than the 600 s it may; raise max_seconds in [limits]")


def test_a_full_disk_is_not_a_photo_s_failure(photo, tmp_path, monkeypatch):
    process = EditPipeline(parse_recipe(INVERT)).open()

    def full(**_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("stylegan_core.files.tempfile.mkstemp", full)
    with pytest.raises(Exception, match="No space left on device") as caught:
        process([Item(1, str(photo), "a")], tmp_path)
    assert editing.pipeline.stops_the_run(caught.value)
