import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import cli
from inversion.latents import load_latent

ROOT = Path(__file__).resolve().parent.parent
FILES = {"latent.npz", "aligned.png", "inverted.png", "comparison.png", "report.json"}


def run(*words, code=0):
    result = CliRunner().invoke(cli.main, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(scope="module")
def inverted(astronaut_file, tmp_path_factory):
    """The folder `invert astronaut.png --out OUT` wrote, with few steps."""
    out = tmp_path_factory.mktemp("out")
    run("invert", astronaut_file, "--out", out, "--steps", 12)
    return out / "astronaut" / "face0"


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def test_invert_writes_the_five_files_and_a_true_report(inverted, astronaut_file):
    assert {path.name for path in inverted.iterdir()} == FILES
    report = json.loads((inverted / "report.json").read_text())
    assert report["steps_taken"] == 12
    assert report["perceptual"]
    assert report["options"]["lambda_mse"] > 0
    assert set(report["loss_terms"]) >= {"mse", "perceptual", "wplus"}
    target, image = (pixels(inverted / name).astype(float) for name in ("aligned.png", "inverted.png"))
    psnr = 10 * np.log10(255**2 / ((target - image) ** 2).mean())
    assert report["scores"]["psnr"] == pytest.approx(psnr, abs=0.1)
    assert psnr > 20
    assert load_latent(inverted / "latent.npz").report == report


def test_inverting_again_gives_the_same_latent_bit_for_bit(inverted, astronaut_file, tmp_path):
    run("invert", astronaut_file, "--out", tmp_path, "--steps", 12)
    again = load_latent(tmp_path / "astronaut" / "face0" / "latent.npz")
    assert (again.ws == load_latent(inverted / "latent.npz").ws).all()


def test_strength_0_returns_face_and_photo_bit_identical(inverted, astronaut, tmp_path):
    run("edit", inverted / "latent.npz", "--transfer", "smile", "--strength", 0, "--out", tmp_path)
    folder = tmp_path / "astronaut" / "face0"
    assert {p.name for p in folder.iterdir()} == {
        "edited.png", "photo_edited.png", "latent.npz", "comparison.png", "report.json"
    }  # fmt: skip
    assert (pixels(folder / "edited.png") == pixels(inverted / "inverted.png")).all()
    assert (pixels(folder / "photo_edited.png") == astronaut).all()
    assert (load_latent(folder / "latent.npz").ws == load_latent(inverted / "latent.npz").ws).all()


@pytest.mark.parametrize("paste", ["full", "delta", "warp"])
def test_an_edit_changes_the_face_and_nothing_far_from_it(inverted, astronaut, tmp_path, paste):
    run("edit", inverted / "latent.npz", "--transfer", "smile:-1", "--paste", paste, "--out", tmp_path)
    edited = pixels(tmp_path / "astronaut" / "face0" / "photo_edited.png")
    changed = (edited != astronaut).any(axis=-1)
    assert 5_000 < changed.sum() < 20_000
    rows, columns = np.nonzero(changed)
    assert (rows.min() > 20, rows.max() < 220, columns.min() > 130, columns.max() < 320) == (True,) * 4


def test_an_edit_of_an_edit_is_pasted_against_the_original_inversion(inverted, astronaut, tmp_path):
    run("edit", inverted / "latent.npz", "--transfer", "smile:-1", "--out", tmp_path / "a")
    first = tmp_path / "a" / "astronaut" / "face0" / "latent.npz"
    run("edit", first, "--transfer", "smile:1", "--out", tmp_path / "b")
    back = load_latent(tmp_path / "b" / "astronaut" / "face0" / "latent.npz")
    np.testing.assert_allclose(back.ws, load_latent(inverted / "latent.npz").ws, atol=1e-4)
    photo = pixels(tmp_path / "b" / "astronaut" / "face0" / "photo_edited.png").astype(int)
    assert np.abs(photo - astronaut).max() <= 2


def test_edit_takes_a_photo_and_a_pair_to_transfer_from(inverted, astronaut_file, tmp_path):
    run("generate", "--seeds", "1-2", "--out", tmp_path / "g")
    pair = tmp_path / "g" / "seed0001.npz", tmp_path / "g" / "seed0002.npz"
    run("edit", astronaut_file, "--transfer-from", *pair, "--steps", 0, "--strength", 0.5, "--out", tmp_path / "e")
    edited = load_latent(tmp_path / "e" / "astronaut" / "face0" / "latent.npz")
    one, two = (load_latent(path).ws for path in pair)
    np.testing.assert_allclose(edited.ws, edited.origin + 0.5 * (two - one), atol=1e-5)


def test_crossover_truncate_and_mix_write_what_they_say(inverted, tmp_path):
    run("generate", "--seeds", "3", "--out", tmp_path)
    latent, other = inverted / "latent.npz", tmp_path / "seed0003.npz"
    run("crossover", latent, other, "--layers", "4-7", "--out", tmp_path / "c")
    child = load_latent(tmp_path / "c" / "astronaut" / "face0" / "latent.npz").ws
    assert (child[:, 4:8] == load_latent(other).ws[:, 4:8]).all()
    assert (child[:, :4] == load_latent(latent).ws[:, :4]).all()
    run("truncate", latent, "--psi", 0, "--out", tmp_path / "t")
    mean = load_latent(tmp_path / "t" / "astronaut" / "face0" / "latent.npz").ws
    assert (mean == mean[:, :1]).all()
    run("mix", "--row", latent, "--row", 5, "--column", other, "--column", 7, "--out", tmp_path / "m")
    assert pixels(tmp_path / "m" / "mix.png").shape[0] > 300


def test_bad_photos_are_named_and_the_good_one_is_still_done(astronaut, tmp_path):
    Image.fromarray(astronaut[:200, 140:300]).save(tmp_path / "good.png")
    Image.new("RGB", (64, 64)).save(tmp_path / "noface.png")
    (tmp_path / "text.jpg").write_text("no image")
    names = ["text.jpg", "noface.png", "missing.png", "good.png"]
    result = run("invert", *[tmp_path / name for name in names], "--steps", 0, "--out", tmp_path / "o", code=1)
    errors = [line for line in result.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 3
    for name in names[:3]:
        assert sum(name in line for line in errors) == 1
    assert "--no-align" in next(line for line in errors if "noface.png" in line)
    assert (tmp_path / "o" / "good" / "face0" / "latent.npz").is_file()
    assert "Traceback" not in result.output


def test_no_align_takes_the_picture_as_it_is(inverted, tmp_path):
    run("invert", inverted / "aligned.png", "--no-align", "--steps", 0, "--out", tmp_path)
    assert (pixels(tmp_path / "aligned" / "face0" / "aligned.png") == pixels(inverted / "aligned.png")).all()


@pytest.mark.parametrize("mode", ["RGBA", "L", "CMYK", "P", "I;16"])
def test_every_kind_of_image_is_inverted_and_edited(astronaut, tmp_path, mode):
    small = Image.fromarray(astronaut[:200, 140:300])
    image = small.convert("L") if mode == "I;16" else small.convert(mode)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
    path = tmp_path / ("x.tif" if mode == "CMYK" else "x.png")
    image.save(path)
    run("edit", path, "--transfer", "smile:-1", "--steps", 0, "--out", tmp_path / "o")
    with Image.open(tmp_path / "o" / "x" / "face0" / "photo_edited.png") as edited:
        assert edited.mode == {"RGBA": "RGBA", "L": "L", "I;16": "L"}.get(mode, "RGB")
        assert edited.size == small.size


def test_a_start_latent_and_zero_steps_give_that_latent_back(inverted, astronaut_file, tmp_path):
    run("invert", astronaut_file, "--start", inverted / "latent.npz", "--steps", 0, "--out", tmp_path)
    again = load_latent(tmp_path / "astronaut" / "face0" / "latent.npz")
    assert (again.ws == load_latent(inverted / "latent.npz").ws).all()
    assert again.report["start"] == "latent"


def test_mistakes_are_one_sentence_and_exit_code_1_or_2(inverted, astronaut_file, tmp_path):
    latent = inverted / "latent.npz"
    cases = [
        (["edit", latent, "--out", tmp_path], 2, "nothing to do"),
        (["edit", latent, "--transfer", "frown", "--out", tmp_path], 2, "no direction 'frown'"),
        (["edit", latent, "--transfer", "smile:x", "--out", tmp_path], 2, "no number"),
        (["edit", tmp_path / "no.npz", "--transfer", "smile", "--out", tmp_path], 1, "no such file"),
        (["invert", astronaut_file, "--generator", "nothing", "--out", tmp_path], 2, "nothing"),
        (["invert", astronaut_file, "--faces", "face7", "--steps", 0, "--out", tmp_path], 1, "no face7"),
        (["invert", astronaut_file, "--start", tmp_path / "x.npz", "--out", tmp_path], 2, "no such file"),
        (["invert", astronaut_file, "--steps", "many"], 2, "many"),
        (["invert"], 2, "PHOTOS"),
        (["crossover", latent, latent, "--layers", "40", "--out", tmp_path], 2, "beyond"),
    ]
    for words, code, text in cases:
        result = run(*words, code=code)
        assert text in result.output
        assert "Traceback" not in result.output
        assert code == 2 or len(result.stderr.strip().splitlines()) == 1


def test_an_output_folder_that_cannot_be_written_is_named(inverted, tmp_path):
    (tmp_path / "file").write_text("")
    result = run("edit", inverted / "latent.npz", "--transfer", "smile", "--out", tmp_path / "file", code=2)
    assert "is a file; give a folder" in result.stderr


def test_a_moved_photo_is_said_and_can_be_named(astronaut, tmp_path):
    Image.fromarray(astronaut[:200, 140:300]).save(tmp_path / "me.png")
    run("invert", tmp_path / "me.png", "--steps", 0, "--out", tmp_path / "o")
    os.rename(tmp_path / "me.png", tmp_path / "moved.png")
    latent = tmp_path / "o" / "me" / "face0" / "latent.npz"
    result = run("edit", latent, "--transfer", "smile", "--out", tmp_path / "e")
    assert "--photo" in result.output
    assert not (tmp_path / "e" / "me" / "face0" / "photo_edited.png").exists()
    run("edit", latent, "--transfer", "smile", "--photo", tmp_path / "moved.png", "--out", tmp_path / "e")
    assert (tmp_path / "e" / "me" / "face0" / "photo_edited.png").is_file()


def test_as_a_real_process_help_is_quick_to_import_and_errors_have_no_traceback(tmp_path):
    shown = subprocess.run([sys.executable, "cli.py", "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "invert" in shown.stdout
    failed = subprocess.run(
        [sys.executable, "cli.py", "invert", str(tmp_path / "no.jpg"), "--out", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert failed.returncode == 1
    assert "no.jpg: no such file" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_directions_are_listed_and_fitted_from_a_csv_of_photos(astronaut, tmp_path):
    assert "smile" in run("directions", "list").output
    for index, name in enumerate(("a", "b", "c", "d")):
        Image.fromarray(astronaut[:200, 140 - index : 300]).save(tmp_path / f"{name}.png")
    (tmp_path / "pairs.csv").write_text("neutral,expression\na.png,b.png\nc.png,d.png\n")
    out = tmp_path / "d.npz"
    run("directions", "fit", "--name", "shift", "--pairs", tmp_path / "pairs.csv", "--out", out, "--scale", 2)
    from stylegan_core.directions import load_direction

    direction = load_direction(out)
    assert direction.report["pairs"] == 2
    assert direction.vector.abs().max() > 0


def test_output_that_nobody_reads_on_ends_without_a_word():
    command = [sys.executable, "-c", "import cli; cli.main()", "completion", "bash"]
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(command, cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert ended.stderr == ""
