import numpy as np
import pytest
import torch
from torch.testing import assert_close

from inversion.faces.align import align_face, face_quad, quad_side, whole_image_quad
from inversion.faces.detect import Face, choose_faces, detect_faces
from inversion.faces.flow import motion_between, move_pixels, resize
from inversion.faces.judges import (
    age_and_gender,
    expression_probabilities,
    identity_distance,
    judge_region,
)
from inversion.faces.mtcnn import find_faces
from inversion.faces.optical_flow import optical_flow
from inversion.faces.paste import paste_face
from stylegan_core.errors import ConfigError, FaceNotFoundError
from stylegan_core.images import to_tensor, to_uint8
from stylegan_core.networks.protocol import Alignment

FACES64 = Alignment(0.8, 0.08)


def square(left, top, side, angle=0.0):
    corners = np.array([[0, 0], [0, side], [side, side], [side, 0]], float)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return corners @ turn.T + [left, top]


def smooth_photo(height=160, width=200):
    y, x = np.mgrid[0:height, 0:width] / 40.0
    channels = [np.sin(x) * np.cos(y), np.cos(x + 1), np.sin(x * 0.7 + y)]
    return ((np.stack(channels, axis=-1) * 0.4 + 0.5) * 255).round().astype(np.uint8)


def test_the_quad_of_level_landmarks_is_the_ffhq_square_by_hand():
    landmarks = np.array([[40.0, 50], [60, 50], [50, 60], [42, 74], [58, 74]])  # eyes 20 apart, mouth 24 below
    quad = face_quad(landmarks, Alignment())
    half = max(20 * 2.0, 24 * 1.8)  # 43.2
    centre = np.array([50, 50 + 0.1 * 24])
    assert_close(quad, centre + half * np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]]))
    shrunk = face_quad(landmarks, FACES64)
    assert quad_side(shrunk) == pytest.approx(0.8 * quad_side(quad))
    assert_close(shrunk.mean(axis=0), centre + np.array([0, 0.08 * 24]))


def test_the_quad_turns_with_the_head():
    level = np.array([[40.0, 50], [60, 50], [50, 60], [42, 74], [58, 74]])
    turn = np.array([[0.0, -1], [1, 0]])
    assert_close(face_quad(level @ turn.T, FACES64), face_quad(level, FACES64) @ turn.T, atol=1e-9, rtol=0)


def test_aligning_a_whole_picture_at_its_own_size_is_the_identity():
    photo = smooth_photo(64, 64)
    assert (to_uint8(align_face(photo, whole_image_quad(64, 64), 64))[0] == photo).all()


def test_shrinking_by_a_whole_factor_is_the_mean_of_the_pixels():
    photo = np.random.RandomState(0).randint(0, 256, (96, 96, 3)).astype(np.uint8)
    expected = torch.nn.functional.avg_pool2d(to_tensor(photo), 3)
    assert_close(align_face(photo, whole_image_quad(96, 96), 32), expected, atol=1e-4, rtol=0)


def test_beyond_the_border_the_photo_is_reflected():
    photo = smooth_photo(40, 40)
    padded = np.pad(photo, ((20, 20), (20, 20), (0, 0)), mode="symmetric")
    assert_close(
        align_face(photo, square(-20, -20, 80), 80), align_face(padded, square(0, 0, 80), 80), atol=1e-4, rtol=0
    )


def test_align_then_paste_full_is_the_identity_within_interpolation_error():
    photo = smooth_photo()
    quad = square(60, 30, 90, angle=0.2)
    face = align_face(photo, quad, 128)
    result = paste_face(photo, quad, face, face, "full")
    assert np.abs(result.rgb.astype(int) - photo).max() <= 2
    assert result.pixels_in_mask > 3000


@pytest.mark.parametrize("mode", ["full", "delta", "warp"])
def test_pixels_outside_the_mask_stay_bit_identical(mode):
    photo, quad = smooth_photo(), square(60, 30, 90, angle=0.3)
    inverted = align_face(photo, quad, 32)
    result = paste_face(photo, quad, (inverted + 0.5).clamp(-1, 1), inverted, mode)
    outside = result.mask == 0
    assert (result.rgb[outside] == photo[outside]).all()
    assert result.pixels_changed == (result.rgb != photo).any(axis=-1).sum() > 1000


@pytest.mark.parametrize("mode", ["delta", "warp"])
def test_equal_renders_leave_the_photo_bit_identical(mode):
    photo, quad = smooth_photo(), square(60, 30, 90)
    render = torch.rand(1, 3, 64, 64)
    result = paste_face(photo, quad, render, render.clone(), mode)
    assert (result.rgb == photo).all()
    assert result.pixels_changed == 0


def test_delta_adds_the_difference_where_the_mask_is_one():
    photo, quad = np.full((100, 100, 3), 100, np.uint8), square(10, 10, 80)
    base = torch.zeros(1, 3, 16, 16)
    result = paste_face(photo, quad, base + 20 / 127.5, base, "delta")
    assert (result.rgb[result.mask == 1] == 120).all()
    assert (result.mask == 1).sum() > 300


def test_warp_moves_the_photo_s_own_detail():
    """A pattern that moves by two render pixels moves its photo, whose detail the render does not have, as well."""
    y, x = np.mgrid[0:256, 0:256]
    coarse = np.exp(-((x - 128) ** 2 + (y - 128) ** 2) / 900.0)
    detail = ((x // 4 + y // 5) % 2) * 20.0
    photo = np.repeat((coarse * 150 + detail + 20)[..., None], 3, axis=-1).astype(np.uint8)
    quad = square(0, 0, 256)
    inverted = align_face(photo, quad, 64)
    shift = 3 / 64
    edited = move_pixels(inverted, torch.stack([torch.full((64, 64), -shift), torch.zeros(64, 64)]))
    result = paste_face(photo, quad, edited, inverted, "warp")
    expected = np.roll(photo, 12, axis=1).astype(float)
    centre = (slice(108, 148), slice(120, 160))
    error = np.abs(result.rgb.astype(float) - expected)[centre].mean()
    delta = paste_face(photo, quad, edited, inverted, "delta").rgb.astype(float)
    assert error < 0.6 * np.abs(delta - expected)[centre].mean()


def test_warp_drops_the_photo_s_detail_where_the_edit_is_no_motion_and_keeps_its_light():
    """Stripes that the edit paints over go; the light that falls over them from one side stays."""
    y, x = np.mgrid[0:256, 0:256]
    place = (abs(y - 128) < 40) & (abs(x - 128) < 40)
    stripes, light = 60 * (x // 4 % 2), (x - 128) * 0.2
    photo = np.repeat((100 + light + place * stripes)[..., None], 3, axis=-1).astype(np.uint8)
    inverted = torch.full((1, 3, 64, 64), -0.2)
    edited = inverted.clone()
    edited[..., 22:42, 22:42] = 0.6
    result = paste_face(photo, square(0, 0, 256), edited, inverted, "warp").rgb[..., 0].astype(float)
    delta = paste_face(photo, square(0, 0, 256), edited, inverted, "delta").rgb[..., 0].astype(float)
    centre = (slice(108, 148), slice(108, 148))
    roughness = [np.abs(np.diff(image[centre], axis=1)).mean() for image in (delta, result)]
    assert roughness[1] < 0.25 * roughness[0]
    assert result[centre][:, -8:].mean() - result[centre][:, :8].mean() > 3
    beside = (slice(120, 136), slice(50, 60))
    assert np.abs(result - photo[..., 0])[beside].mean() < 3


def test_the_motion_between_equal_renders_is_zero():
    render = torch.rand(1, 3, 32, 32)
    assert motion_between(render, render).abs().max() < 1e-5  # of the side: a thousandth of a pixel


@pytest.mark.parametrize("attachment", [5.0, 15.0])
def test_the_optical_flow_is_that_of_scikit_image(attachment, astronaut):
    from skimage.registration import optical_flow_tvl1

    grey = torch.from_numpy(astronaut[:256, 100:356].astype(np.float32).mean(axis=2) / 127.5 - 1)
    before = resize(grey[None, None], 128)[0, 0]
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, 128), torch.linspace(-1, 1, 128), indexing="ij")
    bend = 0.06 * torch.stack([columns * rows.mul(2).cos(), rows.mul(3).sin()], dim=-1)  # up to four pixels
    grid = torch.stack([columns, rows], dim=-1) + bend
    after = torch.nn.functional.grid_sample(before[None, None], grid[None], align_corners=True)[0, 0]
    found = optical_flow(after, before, attachment)
    theirs = torch.from_numpy(np.stack(optical_flow_tvl1(after.numpy(), before.numpy(), attachment=attachment)))
    # Their pyramids differ a little (Gaussian, triangle), hence where a picture is flat the flows do, too.
    assert (found - theirs).square().mean().sqrt() < 0.15 * theirs.square().mean().sqrt()
    moved = bend.permute(2, 0, 1).flip(0) * 63.5
    assert (found - moved)[:, 16:-16, 16:-16].abs().median() < 0.3


def test_a_face_at_the_border_is_pasted_without_touching_anything_else():
    photo, quad = smooth_photo(100, 100), square(-30, 60, 80)
    face = align_face(photo, quad, 32)
    result = paste_face(photo, quad, face * 0, face, "full")
    assert result.rgb.shape == photo.shape
    assert (result.rgb[result.mask == 0] == photo[result.mask == 0]).all()
    far = paste_face(photo, square(300, 300, 50), face, face, "full")
    assert far.pixels_changed == 0


def test_mtcnn_finds_the_astronaut_and_only_her(astronaut):
    (face,) = detect_faces(astronaut)
    assert face.probability > 0.99
    left_eye, right_eye = face.landmarks[:2]
    assert 190 < left_eye[0] < right_eye[0] < 260
    assert 80 < left_eye[1] < 130


@pytest.mark.filterwarnings("ignore::FutureWarning")  # the package's own torch.load
def test_mtcnn_finds_what_the_facenet_pytorch_package_finds(astronaut):
    from facenet_pytorch import MTCNN

    half = astronaut[:256, 100:356]
    several = np.concatenate([half, half[:, ::-1], np.full((256, 40, 3), 128, np.uint8)], axis=1)
    for photo, least, count in ((astronaut, 20, 1), (several, 40, 2)):
        boxes, probabilities, landmarks = MTCNN(keep_all=True, min_face_size=least).eval().detect(photo, landmarks=True)
        found = find_faces(photo, least)
        order = np.argsort(found[0][:, 0])
        theirs = np.argsort([box[0] for box in boxes])
        assert len(order) == len(theirs) == count
        # A thousandth of a pixel: boxes are sums of float32 whose order differs.
        assert_close(found[0][order], np.stack(boxes)[theirs].astype(np.float32), atol=1e-3, rtol=0)
        assert_close(found[1][order], np.stack(landmarks)[theirs].astype(np.float32), atol=1e-3, rtol=0)
        assert_close(found[2][order], np.asarray(probabilities, np.float32)[theirs], atol=1e-4, rtol=0)


def test_landmarks_follow_the_size_of_the_photo(astronaut):
    (small,), (large,) = detect_faces(astronaut), detect_faces(astronaut.repeat(4, axis=0).repeat(4, axis=1))
    assert_close(large.landmarks / 4, small.landmarks, atol=3, rtol=0)


@pytest.mark.parametrize("shape", [(8, 8), (16, 400), (2000, 30), (300, 300)])
def test_a_picture_without_a_face_has_none(shape):
    assert detect_faces(np.full((*shape, 3), 90, np.uint8)) == []


def faces_of(*sides):
    return [Face(np.array([0.0, 0, side, side]), np.zeros((5, 2)), 1.0) for side in sides]


def test_faces_are_chosen_by_number_by_name_and_all():
    faces = faces_of(30, 20, 10)
    assert list(choose_faces(faces, "1", "x")) == [0]
    assert list(choose_faces(faces, "2", "x")) == [0, 1]
    assert list(choose_faces(faces, "9", "x")) == [0, 1, 2]
    assert list(choose_faces(faces, "all", "x")) == [0, 1, 2]
    assert list(choose_faces(faces, "face2, face0", "x")) == [2, 0]
    with pytest.raises(FaceNotFoundError, match="face0 to face2"):
        choose_faces(faces, "face3", "x")
    with pytest.raises(ConfigError, match="not understood"):
        choose_faces(faces, "largest", "x")
    with pytest.raises(FaceNotFoundError, match="--no-align"):
        choose_faces([], "1", "x.jpg")


def test_the_judges_region_is_that_of_the_assets_readme():
    assert judge_region(FACES64) == pytest.approx((0.19, 0.24, 0.81, 0.86), abs=1e-4)


def test_the_judges_see_the_same_face_whatever_the_crop(astronaut):
    """The astronaut smiles, is herself, and stays so when the crop around her is another one."""
    (face,) = detect_faces(astronaut)
    crops = {a: align_face(astronaut, face_quad(face.landmarks, a), 256) for a in (FACES64, Alignment())}
    for alignment, crop in crops.items():
        probabilities = expression_probabilities(crop, alignment)
        assert_close(probabilities.sum(), torch.tensor(1.0))
        assert probabilities[0, 1] > 0.9
        age, male = age_and_gender(crop, alignment)
        assert 20 < age.item() < 50
        assert male.item() < 0.3
    assert identity_distance(crops[FACES64], crops[FACES64], FACES64).item() == 0
    mirrored = identity_distance(crops[FACES64], crops[FACES64].flip(3), FACES64).item()
    assert mirrored < 0.35
