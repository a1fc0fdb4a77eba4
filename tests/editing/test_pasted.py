"""What is said of an edit is measured on the edited photo."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

import cli
from editing.batch import batch_export
from editing.config import SearchConfig
from editing.editor import Editor
from editing.operations.base import Edit
from editing.operations.measures import SetMeasures
from editing.operations.render import Render, face_edit
from editing.operations.transfer import Transfer
from editing.pasted import EditedPhoto, paste_photo, told_scores
from editing.reach import measures_of
from editing.render import EditedFace
from inversion.batch.runner import run as run_batch
from inversion.config import InvertConfig
from inversion.faces.align import align_face
from inversion.faces.judges import JUDGES, identity_distance
from inversion.faces.paste import paste_faces
from inversion.invert import Inverter
from inversion.latents import load_latent
from invertigo import EditPipeline, load_recipe
from stylegan_core.catalogue import shipped_names
from stylegan_core.console import Console
from stylegan_core.directions import find_direction
from stylegan_core.images import read_photo


def run(*words, code=0):
    result = CliRunner().invoke(cli.main, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result


RECIPE = """
[invert]
generator = "faces64"
method = "guess"
[[edit]]
transfer = "smile"
strength = 1.0
"""


@pytest.fixture(scope="module")
def person(astronaut_file):
    inverter = Inverter(InvertConfig(generator="faces64", method="guess"))
    photo = read_photo(astronaut_file)
    return inverter.generator, inverter.invert(photo)[0].latent, photo


def test_auto_asks_the_judge_about_the_photo_and_not_about_the_render(person):
    generator, latent, photo = person
    search = SearchConfig(target=20, identity_ceiling=1.0, leak=1.0)
    editor = Editor(generator, latent, photo=photo)
    edited = editor.apply(Transfer("age", "auto", search=search))
    best = edited.latent.report["strength_search"]["best"]
    pasted = paste_photo(photo, [edited])
    face = align_face(pasted.rgb, latent.quad, 256)
    assert best["value"] == pytest.approx(float(JUDGES["age"].score(face, generator.meta.alignment)), abs=2)
    before = align_face(photo.rgb, latent.quad, 256)
    assert best["identity"] == pytest.approx(float(identity_distance(face, before, generator.meta.alignment)), abs=0.05)
    alone = Editor(generator, latent).apply(Transfer("age", "auto", search=search)).latent.report["strength_search"]
    assert alone["curve"][-1]["value"] != pytest.approx(best["value"], abs=0.5)  # the render is another face


def test_what_a_search_sees_is_what_is_pasted_whatever_code_is_edited(person):
    generator, latent, photo = person
    searched = replace(latent, ws=latent.ws + 0.1, origin=latent.origin + 0.1, near=latent.origin)
    step = find_direction("smile", generator).vector
    said = {"transfer": "smile", "appearance": 0.0}
    for own in (searched, latent):
        ws = own.ws + step
        shown = Render(generator, own, photo).shown(ws, said)
        edited = replace(own, ws=ws, report={**own.report, "edits": [said]})
        pasted = paste_photo(photo, [EditedFace(generator, edited, photo)])
        face, before = (align_face(rgb, own.quad, shown.shape[-1]) for rgb in (pasted.rgb, photo.rgb))
        assert (shown - face).abs().mean() < 0.3 * (before - face).abs().mean()


@pytest.mark.parametrize("paste", ["auto", "none"])
def test_what_a_search_sees_changes_in_the_region_alone(person, paste):
    generator, latent, photo = person
    step = find_direction("smile", generator).vector
    seen = []

    def look(ws, render):
        seen.extend(render.shown(code) for code in (ws, ws + step))
        return ws, {}

    Editor(generator, latent, photo=photo, paste=paste, region="eyes").apply(Edit("look", look))
    before, after = seen
    rows = (before != after).any(dim=1)[0].any(dim=1).nonzero() / before.shape[2]
    assert len(rows)
    assert rows.max() < 0.6  # above the mouth


def test_auto_stays_where_faces_are_believable(person):
    generator, latent, _ = person
    search = SearchConfig(target=0.99, identity_ceiling=9, leak=9, max_strength=4)
    edited = Editor(generator, latent).apply(Transfer("smile", "auto", search=search))
    strengths = [point["strength"] for point in edited.latent.report["strength_search"]["curve"]]
    assert max(map(abs, strengths)) <= 1.5


def test_scores_are_those_of_the_whole_photo(person):
    generator, latent, photo = person
    edited = Editor(generator, latent, photo=photo).apply(Transfer("smile", 1.0))
    pasted = paste_photo(photo, [edited])
    (scores,) = pasted.scores
    assert scores.after["mouth-width"] > scores.before["mouth-width"] + 0.02
    same = EditedPhoto(photo, photo.rgb, pasted.faces, pasted.sources)
    assert same.scores[0].after == same.scores[0].before
    before, after = pasted.close_ups(0)
    assert before.shape == after.shape
    assert (before != after).any()


def test_the_command_compares_photos_tells_what_is_wrong_and_strict_writes_nothing(astronaut_file, tmp_path):
    command = "edit", astronaut_file, "--generator", "faces64", "--method", "guess", "--transfer", "smile"
    run(*command, "--out", tmp_path / "a")
    folder = tmp_path / "a" / "astronaut" / "face0"
    report = json.loads((folder / "report.json").read_text())
    assert "edit_scores" not in report
    assert report["photo_scores"]["before"]["happy"] <= 1
    shown = read_photo(folder / "comparison.png").rgb.astype(float)
    height, width = shown.shape[:2]
    assert 1.7 < width / height < 2.0  # two pictures under their labels
    face = align_face(read_photo(astronaut_file).rgb, load_latent(folder / "latent.npz").quad, 256)
    cell = shown[height - 256 - 8 : height - 8, 8 : 8 + 256]
    assert np.corrcoef(cell.ravel(), face[0].permute(1, 2, 0).numpy().ravel())[0, 1] > 0.9
    warned = run(*command, "--paste", "full", "--out", tmp_path / "b").stderr
    assert "face0: the edited photo shows another person" in warned
    assert "another person" in " ".join(
        load_latent(tmp_path / "b" / "astronaut" / "face0" / "latent.npz").report["warnings"]
    )
    refused = run(*command, "--paste", "full", "--strict", "--out", tmp_path / "c", code=1).stderr
    assert "refused, since --strict is on" in refused
    assert not list((tmp_path / "c").rglob("*.png"))


def test_a_batch_has_the_figures_of_the_edited_photos(astronaut_file, tmp_path):
    (tmp_path / "recipe.toml").write_text(RECIPE)
    found = []
    pipeline = EditPipeline(load_recipe(str(tmp_path / "recipe.toml")))
    run_batch([str(astronaut_file)], str(tmp_path / "out"), pipeline, callback=lambda _, result: found.append(result),
              console=Console(quiet=True))  # fmt: skip
    told = json.loads((tmp_path / "out" / "astronaut" / "face0" / "report.json").read_text())["photo_scores"]
    assert found[0].metrics["happy_after"] == told["after"]["happy"]
    assert found[0].metrics["mouth_sharpness"] == told["mouth_sharpness"]
    batch_export(str(tmp_path / "out"), str(tmp_path / "o.csv"), Console(quiet=True))
    assert "happy_before" in (tmp_path / "o.csv").read_text().splitlines()[0]


def test_what_is_set_is_told_of_the_photo_and_a_head_that_stays_is_said(person):
    generator, latent, photo = person
    smile = find_direction("smile", generator).vector

    def setting(values):
        return Edit("set", lambda ws, render: (ws + 0.5 * smile, {"edits": [{"set": values, "appearance": 0.0}]}))

    def pasted(values, mode="auto"):
        return paste_photo(photo, [Editor(generator, latent, photo=photo).apply(setting(values))], mode)

    turned = pasted({"yaw": 30.0, "mouth-width": 0.9})
    before, after = (scores["mouth-width"] for scores in (turned.scores[0].before, turned.scores[0].after))
    assert f"mouth-width {before:.2f} -> {after:.2f}" in told_scores(turned, 0)
    assert any("keeps the head as it is, so yaw" in text for text in turned.doubts[0])  # it smiles, and does not turn
    still = {"yaw": turned.scores[0].before["yaw"] + 1.0}
    for made in (pasted(still), pasted({"yaw": 30.0}, "warp"), pasted({"yaw": "x", "ears": 1}), pasted(["yaw"])):
        assert not any("keeps the head" in text for text in made.doubts[0])


def test_a_turn_of_the_head_is_moved_in_the_photo_and_that_of_a_smile_is_not(person):
    generator, latent, photo = person
    turn = Transfer("yaw", 2.0) if "yaw" in shipped_names("faces64") else SetMeasures("yaw=8")
    face = Editor(generator, latent, photo=photo).apply(turn)
    assert face.latent.report["edits"][-1]["turns"] is True
    assert "turns" not in Editor(generator, latent).apply(Transfer("smile", 1.0)).latent.report["edits"][-1]
    edit = face_edit(generator, face.latent, face.inverted, face.edited, "none")
    assert edit.turns
    before, after = (
        measures_of(align_face(paste_faces(photo.rgb, [replace(edit, turns=turns)], "motion")[0], latent.quad, 256),
                    generator.meta.alignment)["yaw"]
        for turns in (False, True)
    )  # fmt: skip
    assert after > before + 0.5
