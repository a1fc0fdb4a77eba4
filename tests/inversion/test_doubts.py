"""Faces on which it will not work are named: small, turned away, covered, several, the wrong way up."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import cli
from editing.operations.transfer import Transfer
from inversion.faces.detect import detect_faces, detect_faces_any_way_up
from inversion.faces.doubts import doubts_of_detection, doubts_of_inversion, seen_from_the_side
from stylegan_core.directions import find_direction
from stylegan_core.images import to_tensor
from stylegan_core.networks.protocol import Alignment

FRONT = np.array([[40.0, 50], [80, 50], [60, 75], [45, 95], [75, 95]])
BOX = np.array([20.0, 20, 100, 120])


def run(*words, code=0):
    result = CliRunner().invoke(cli.main, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result


def test_a_face_that_looks_here_is_not_doubtful_and_one_from_the_side_is():
    assert doubts_of_detection(BOX, FRONT, 0, 1, True) == []
    profile = FRONT.copy()
    profile[2, 0] = 84  # the nose beyond an eye
    narrow = FRONT * [0.4, 1]
    for landmarks in (profile, narrow, profile @ np.array([[0.0, 1], [-1, 0]])):
        assert seen_from_the_side(landmarks)
    (text,) = doubts_of_detection(BOX, profile, 0, 1, True)
    assert "from the side" in text


def test_small_turned_and_several_faces_are_named():
    small, turned, several = doubts_of_detection(BOX * 0.4, FRONT * 0.4, 180, 2, False)[::-1]
    assert "only 40 pixels" in small
    assert "upside down" in turned
    assert "2 faces found; took face0, the larger; --faces all for both" in several
    assert doubts_of_detection(BOX, FRONT, 0, 3, True) == []


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_face_that_is_the_wrong_way_up_is_found_where_it_is(astronaut, turn):
    upright = detect_faces(astronaut)[0]
    turned = np.ascontiguousarray(np.rot90(astronaut, -turn // 90))
    (face,) = detect_faces_any_way_up(turned)[:1]
    assert face.turn == turn
    height, width = astronaut.shape[:2]
    x, y = upright.landmarks.T  # where a point of the upright photo lies in the turned one
    where = {90: (height - y, x), 180: (width - x, height - y), 270: (y, width - x)}[turn]
    np.testing.assert_allclose(face.landmarks, np.stack(where, axis=1), atol=2)


def test_an_upside_down_photo_is_edited_as_it_lies(astronaut, tmp_path):
    path = tmp_path / "down.png"
    Image.fromarray(astronaut[:240, 120:320][::-1, ::-1]).save(path)
    result = run("edit", path, "--transfer", "smile:-1", "--steps", 2, "--out", tmp_path / "o")
    assert "upside down" in result.stderr
    report = json.loads((tmp_path / "o" / "down" / "face0" / "report.json").read_text())
    assert any("upside down" in text for text in report["warnings"])
    before, after = (np.asarray(Image.open(p)) for p in (path, tmp_path / "o" / "down" / "face0" / "photo_edited.png"))
    rows = np.nonzero((before != after).any(axis=(1, 2)))[0]
    assert rows.mean() > 100  # in the lower half, where the face is
    run("edit", path, "--transfer", "smile", "--steps", 0, "--strict", "--out", tmp_path / "s", code=1)
    assert not (tmp_path / "s" / "down" / "face0" / "edited.png").exists()


def covered(face, part):
    """Paint a box over the mouth or the eyes of an aligned face [1, 3, R, R]."""
    from inversion.faces.landmarks import EYES, MOUTH, find_landmarks

    points = find_landmarks(face, Alignment())[0][MOUTH if part == "mouth" else EYES]
    side, margin = face.shape[-1], 0.05
    left, top = ((points.amin(dim=0) - margin) * side).int().tolist()
    right, bottom = ((points.amax(dim=0) + margin) * side).int().tolist()
    painted = face.clone()
    painted[..., top:bottom, left:right] = -0.9
    return painted


@pytest.mark.parametrize("part", ["mouth", "eyes"])
def test_a_covered_mouth_and_covered_eyes_are_named(astronaut, part):
    from inversion.faces.align import align_face, face_quad

    face = align_face(astronaut, face_quad(detect_faces(astronaut)[0].landmarks, Alignment()), 256)
    fine = {"psnr": 25.0, "identity_distance": 0.3}
    assert doubts_of_inversion(face, face, fine, Alignment()) == []
    found = doubts_of_inversion(covered(face, part), face, fine, Alignment())
    assert any(text.startswith(f"the {part} cannot be made out") for text in found)


def test_an_inversion_far_below_what_is_usual_is_named(astronaut):
    face = to_tensor(np.ascontiguousarray(astronaut[:128, 150:278]))
    found = doubts_of_inversion(face, face, {"psnr": 12.0, "identity_distance": 0.7}, Alignment())
    assert any("far from the photo (12.0 dB, identity distance 0.70)" in text for text in found)


def test_a_strength_beyond_what_is_believable_is_named_and_strict_refuses_it(tmp_path):
    run("generate", "--seeds", 1, "--generator", "faces64", "--out", tmp_path)
    latent = tmp_path / "seed0001.npz"
    result = run("edit", latent, "--transfer", "smile:6", "--out", tmp_path / "o")  # the latent names its generator
    assert "smile 6 is beyond what looks believable" in result.stderr
    assert "warning" not in run("edit", latent, "--transfer", "smile:0.5", "--out", tmp_path / "p").stderr
    refused = run("edit", latent, "--transfer", "smile:6", "--strict", "--out", tmp_path / "q", code=2)
    assert "--strict" in refused.stderr
    assert not (tmp_path / "q").exists()


def test_two_faces_and_no_word_which_one(astronaut, tmp_path):
    portrait = astronaut[:240, 120:320]
    path = tmp_path / "two.png"
    Image.fromarray(np.concatenate([portrait, portrait[:, ::-1]], axis=1)).save(path)
    text = "2 faces found; took face0, the larger; --faces all for both"
    assert text in run("invert", path, "--steps", 0, "--out", tmp_path / "a").stderr
    for faces in ("face0", "all"):
        assert text not in run("invert", path, "--steps", 0, "--faces", faces, "--out", tmp_path / faces).stderr


def test_a_strength_beyond_what_is_believable_is_named_by_every_command_and_refused_if_strict(tmp_path, astronaut):
    Image.fromarray(astronaut).save(tmp_path / "a.png")
    text = "smile 6 is beyond what looks believable"
    for strict in ("false", "true"):
        recipe = f'[invert]\ngenerator = "faces64"\nstrict = {strict}\n[[edit]]\ntransfer = "smile"\nstrength = 6\n'
        (tmp_path / f"{strict}.toml").write_text(recipe)
    batch = "batch", tmp_path / "a.png", "--out", tmp_path / "b", "--explain", "--recipe"
    assert text in run(*batch, tmp_path / "false.toml").stderr
    assert "--strict" in run(*batch, tmp_path / "true.toml", code=2).stderr
    edits = "--transfer", "smile:6", "--generator", "faces64", "--out", tmp_path / "c"
    assert text in run("interpolate", 1, 2, "--frames", 2, *edits).stderr
    assert "--strict" in run("video", tmp_path, *edits, "--strict", code=2).stderr


def test_a_direction_given_as_such_is_bounded_as_its_file_is(faces64):
    smile = find_direction("smile", faces64)
    assert Transfer(smile, 6.0).doubts("faces64") == Transfer("smile", 6.0).doubts("faces64") != []
    assert Transfer(replace(smile, report={"believable": [-1, 8]}), 6.0).doubts("faces64") == []
