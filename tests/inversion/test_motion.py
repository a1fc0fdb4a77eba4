from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.interpolate import RBFInterpolator
from torch.nn import functional as F
from torch.testing import assert_close

from inversion.faces.align import align_face, face_quad
from inversion.faces.detect import detect_faces
from inversion.faces.flow import move_pixels
from inversion.faces.landmarks import EYES, LEFT_CORNER, RIGHT_CORNER, find_landmarks
from inversion.faces.lips import GOING
from inversion.faces.motion import (
    GRID,
    LIP_COLUMNS,
    SEEN,
    dense_motion,
    expression_motion,
    stretch,
    thin_plate,
    with_closed_lips,
)
from inversion.faces.paste import FaceEdit, choose_mode, paste_faces
from inversion.faces.pins import Pins, joined, taken_along
from inversion.faces.restore import Restorer, find_restorer, load_restorer, restore, save_restorer
from stylegan_core.assets import asset_path
from stylegan_core.errors import CheckpointError, ConfigError
from stylegan_core.images import to_tensor
from stylegan_core.networks.protocol import Alignment

FACES = Alignment(0.8, 0.08)


def points():
    return np.random.RandomState(0).uniform(0.25, 0.75, (68, 2))


def test_the_thin_plate_is_scipy_s():
    rng = np.random.RandomState(1)
    known, values, places = rng.rand(20, 2), rng.rand(20, 2), rng.rand(50, 2)
    expected = RBFInterpolator(known, values, kernel="thin_plate_spline", smoothing=0.01)(places)
    # scipy's kernel is r^2 log r, half of ours
    assert_close(thin_plate(known, values, places, 0.02), expected, atol=1e-6, rtol=0)


def test_a_moved_face_stands_still_at_its_border_and_takes_its_landmarks_along():
    moved = np.zeros((68, 2))
    moved[48:68] = [0.03, -0.02]
    where = points()
    where[48:68] = np.array([0.5, 0.7]) + np.random.RandomState(2).uniform(-0.08, 0.08, (20, 2))
    where[:48, 1] = np.minimum(where[:48, 1], 0.5)
    offsets = dense_motion(where, moved)
    assert offsets.shape == (2, GRID, GRID)
    mouth = (np.array([0.53, 0.68]) * GRID).astype(int)
    assert_close(offsets[:, mouth[1], mouth[0]], torch.tensor([-0.03, 0.02]), atol=0.006, rtol=0)
    assert offsets[:, 0, :].abs().max() < 0.015
    assert offsets[:, :, 0].abs().max() < 0.015


def test_a_motion_of_the_whole_head_is_no_expression():
    before = points()
    assert_close(expression_motion(before, before + np.array([0.02, -0.01]))[36:], np.zeros((32, 2)))
    smile = before.copy()
    smile[48] += [-0.01, -0.02]
    assert_close(expression_motion(before, smile + 0.03)[48], np.array([-0.01, -0.02]) / SEEN)


def test_closed_lips_move_together_and_open_ones_as_they_are_moved():
    where, moved = points(), np.zeros((68, 2))
    where[36:42], where[42:48] = [0.35, 0.4], [0.65, 0.4]  # .3 apart
    upper, lower, above, below = (list(column) for column in zip(*LIP_COLUMNS, strict=True))
    where[upper], where[lower] = [0.5, 0.7], [0.5, 0.7]
    moved[upper], moved[lower] = [0.01, -0.01], [0.01, 0.03]
    moved[above], moved[below] = [0.0, -0.02], [0.0, 0.05]
    together = with_closed_lips(where, moved)
    assert_close(together[upper + lower], np.tile([0.01, 0.01], (6, 1)))
    assert_close(together[above + below], np.array([[0.0, 0.0]] * 3 + [[0.0, 0.03]] * 3))
    assert_close(np.delete(together, upper + lower + above + below, axis=0), np.zeros((56, 2)))
    where[lower] += [0.0, 0.03]  # a tenth of the eye distance
    assert_close(with_closed_lips(where, moved), moved)


@pytest.fixture(scope="module")
def face(astronaut):
    (found,) = detect_faces(astronaut)
    quad = face_quad(found.landmarks, FACES)
    inverted = align_face(astronaut, quad, 128)
    position = (torch.arange(128) + 0.5) / 128
    near_mouth = (-((position[None] - 0.5) ** 2 / 0.03 + (position[:, None] - 0.75) ** 2 / 0.015)).exp()
    narrower = torch.stack([(0.5 - position[None]) * near_mouth * 0.25, torch.zeros(128, 128)])
    return astronaut, FaceEdit(quad, move_pixels(inverted, -narrower), inverted, alignment=FACES, appearance=0.0)


def test_the_photo_s_mouth_moves_as_the_render_s_does(face):
    """By another detector: the landmarks that steer are not those that judge."""
    photo, edit = face
    before, after = (find_landmarks(render, FACES)[0].double().numpy() for render in (edit.inverted, edit.edited))
    moved = expression_motion(before, after)
    wanted = moved[RIGHT_CORNER, 0] - moved[LEFT_CORNER, 0]
    rgb, (result,) = paste_faces(photo, [edit], "auto")
    assert result.mode == "motion"
    widths = [np.diff(detect_faces(image)[0].landmarks[3:, 0])[0] for image in (photo, rgb)]
    gained = (widths[1] - widths[0]) / np.linalg.norm(edit.quad[3] - edit.quad[0])
    assert wanted < -0.01
    assert gained / wanted == pytest.approx(GOING, abs=0.5)  # her lips close over her teeth


def test_motion_leaves_the_rest_of_the_photo_and_unedited_faces_bit_identical(face):
    photo, edit = face
    rgb, (result,) = paste_faces(photo, [edit], "motion")
    assert (rgb[result.mask == 0] == photo[result.mask == 0]).all()
    assert result.pixels_changed > 1000
    still = FaceEdit(edit.quad, edit.inverted, edit.inverted.clone(), alignment=FACES)
    assert (paste_faces(photo, [still], "motion")[0] == photo).all()


def test_the_code_near_w_is_the_one_that_moves_the_photo(face):
    photo, edit = face
    own = FaceEdit(edit.quad, torch.ones(1, 3, 128, 128), edit.inverted, (edit.edited, edit.inverted), FACES, 0.0)
    assert (paste_faces(photo, [own], "motion")[0] == paste_faces(photo, [edit], "motion")[0]).all()


def test_pins_take_a_place_farther_than_its_landmarks_and_leave_the_rest(face):
    photo, edit = face
    own = find_landmarks(edit.inverted, FACES)[0].double().numpy()
    places = np.stack([own[RIGHT_CORNER], [0.35, 0.6]])  # on a landmark, and on a cheek
    pins = Pins(places, np.array([[0.02, -0.015], [-0.01, 0.01]]))
    for moved in (np.zeros((68, 2)), np.tile([0.01, 0.0], (68, 1))):
        offsets = dense_motion(*pins.among(own, moved))
        whole = taken_along(own, moved, places) + pins.rest
        grid = torch.from_numpy((places + whole) * 2 - 1).float()[None, None]
        found = F.grid_sample(offsets[None], grid, align_corners=False)[0, :, 0].T.double().numpy()
        np.testing.assert_allclose(-found, whole, atol=0.0025)
        far = np.abs(pins.bent(own, moved) - moved)[EYES]
        assert far.max() < 1e-3
    pinned = replace(edit, pins=pins)
    assert (paste_faces(photo, [pinned], "motion")[0] != paste_faces(photo, [edit], "motion")[0]).any()


def test_pins_at_one_place_add_up():
    one, other = (Pins(np.array([[0.5, x]]), np.array([[0.1, 0.0]])) for x in (0.5, 0.5 + 1e-6))
    found = joined([one, other])
    assert found is not None and joined([]) is None
    np.testing.assert_allclose(found.rest, [[0.2, 0.0]])


def test_an_edit_brings_light_and_colour_only_as_far_as_it_may(face):
    photo, edit = face
    red = edit.inverted + torch.tensor([1.0, -1.0, -1.0])[:, None, None]
    made = FaceEdit(edit.quad, red.clamp(-1, 1), edit.inverted, alignment=FACES)
    difference = (to_tensor(paste_faces(photo, [made], "motion")[0]) - to_tensor(photo))[0]
    light = difference.mean(dim=0)
    inner = slice(*np.percentile(edit.quad[:, 1], [40, 60]).astype(int))
    columns = slice(*np.percentile(edit.quad[:, 0], [40, 60]).astype(int))
    colour = (difference - light)[:, inner, columns].abs().mean()
    assert 0.01 < colour < 0.1


def test_a_large_photo_is_moved_as_a_small_one_is(face):
    """Detector and landmarks look at a large face shrunk."""
    photo, edit = face
    times = 6
    large = np.asarray(Image.fromarray(photo).resize((512 * times, 512 * times), Image.Resampling.BICUBIC))
    rgb, (result,) = paste_faces(large, [replace(edit, quad=edit.quad * times)], "auto")
    assert result.mode == "motion"
    small = paste_faces(photo, [edit], "auto")[0].astype(float)
    shrunk = np.asarray(Image.fromarray(rgb).reduce(times)).astype(float)
    changed = (small != photo).any(axis=-1)
    assert np.abs(shrunk - small)[changed].mean() < 0.5 * np.abs(small - photo)[changed].mean()


def test_what_is_no_face_is_not_pasted_by_landmarks():
    noise = np.random.RandomState(0).randint(0, 255, (100, 100, 3)).astype(np.uint8)
    quad = np.array([[5.0, 5], [5, 95], [95, 95], [95, 5]])
    assert choose_mode("auto", noise, quad, 32) == "warp"
    assert choose_mode("auto", noise, quad, 128) == "full"


def test_the_stretch_is_how_much_larger_a_place_gets():
    steps = (torch.arange(32) + 0.5) / 32
    across, down = torch.meshgrid(steps, steps, indexing="xy")
    doubled = torch.stack([-(across - 0.5) / 2, 0 * down])  # pixels come from half as far: twice as wide
    assert_close(stretch(doubled)[0, 0], torch.full((32, 32), 0.5), atol=1e-3, rtol=0)
    squeezed = torch.stack([across - 0.5, down - 0.5])
    assert stretch(squeezed).max() < 1e-3


def test_the_shipped_restorer_sharpens_what_was_pulled_apart_and_can_be_turned_off(face):
    photo, edit = face
    network = find_restorer("auto")
    assert network is not None
    assert find_restorer("none") is None
    image = align_face(photo, edit.quad, 256)
    coarse = torch.nn.functional.interpolate(
        torch.nn.functional.interpolate(image, size=(256, 140), mode="bilinear", antialias=True), size=(256, 256),
        mode="bicubic",
    )  # fmt: skip
    mask = torch.zeros(1, 1, 256, 256)
    mask[:, :, 140:220, 70:190] = 1
    restored = restore(network, coarse, mask, 256)
    assert torch.equal(restored[mask.expand_as(restored) == 0], coarse[mask.expand_as(coarse) == 0])
    inside = (slice(None), slice(None), slice(145, 215), slice(75, 185))
    detail = [float((part[inside].diff(dim=3)).abs().mean()) for part in (coarse, restored, image)]
    assert detail[0] < detail[1] < 1.5 * detail[2]
    assert torch.equal(restore(network, coarse, mask * 0, 256), coarse)


def test_a_file_that_is_no_restorer_is_refused(tmp_path):
    save_restorer(tmp_path / "good.safetensors", Restorer((8, 8)), {})
    images, masks = torch.rand(1, 3, 21, 30), torch.ones(1, 1, 21, 30)
    assert torch.equal(load_restorer(tmp_path / "good.safetensors")(images, masks), images)  # untrained: no residual
    with pytest.raises(CheckpointError, match="restorer train"):
        load_restorer(asset_path("face_landmark_68.safetensors"))
    with pytest.raises(ConfigError, match="auto, none"):
        find_restorer(str(tmp_path / "missing.safetensors"))
