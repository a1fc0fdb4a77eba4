"""Lips that close over the teeth of a photo."""

import numpy as np
import pytest
import torch

from inversion.faces.align import align_face, face_quad
from inversion.faces.detect import detect_faces
from inversion.faces.landmarks import LEFT_CORNER, RIGHT_CORNER, find_landmarks
from inversion.faces.lips import CORNER_SHADE, WHOLE_SMILE, closing, lift_corners
from inversion.faces.mouth import find_opening
from stylegan_core.networks.protocol import Alignment

FACES = Alignment(0.8, 0.08)


@pytest.fixture(scope="module")
def face(astronaut):
    """Her face, which shows teeth, and its landmarks."""
    (found,) = detect_faces(astronaut)
    image = align_face(astronaut, face_quad(found.landmarks, FACES), 256)
    return image, find_landmarks(image, FACES)[0].double().numpy()


def inside(edges):
    """Where a picture of 256 px lies between the edges of an opening."""
    y, x = np.mgrid[:256, :256] / 256
    upper, lower = (np.interp(x, edge[:, 0], edge[:, 1], 1, 1) for edge in edges)
    return (y > upper) & (y < lower)


def smile_lost(points, amount):
    """The motion of a mouth whose corners come in by `amount` eye distances together."""
    unit = np.linalg.norm(points[36:42].mean(axis=0) - points[42:48].mean(axis=0))
    moved = np.zeros((68, 2))
    moved[[LEFT_CORNER, RIGHT_CORNER], 0] = amount * unit / 2, -amount * unit / 2
    return moved


def test_the_opening_holds_the_light_teeth_and_none_of_the_red_lips(face):
    image, points = face
    teeth = inside(find_opening(image, points))
    rgb = image[0].numpy()
    around = np.zeros_like(teeth)
    low, high = (points[48:68].min(axis=0) * 256).astype(int), (points[48:68].max(axis=0) * 256).astype(int)
    around[low[1] : high[1], low[0] : high[0]] = True
    assert 60 < teeth.sum() < 0.8 * around.sum()
    white = rgb.mean(axis=0) - (rgb[0] - rgb[1:].mean(axis=0))
    whitest = around & (white > np.quantile(white[around], 0.8))
    assert (teeth & whitest).sum() > 0.9 * whitest.sum()


def test_a_mouth_without_teeth_has_no_opening(face):
    image, points = face
    opening = find_opening(image, points)
    below = opening[1] + [0.0, 0.03]
    lip = image[0][:, torch.from_numpy(inside((opening[1], below)))].mean(dim=1)  # painted over the teeth
    closed = torch.where(torch.from_numpy(inside(opening)), lip[:, None, None], image)
    assert find_opening(closed, points) is None
    assert find_opening(torch.zeros_like(image), points) is None
    assert find_opening(image, np.full((68, 2), 0.5)) is None


def test_lips_meet_where_a_smile_goes_and_part_in_proportion_to_what_stays(face):
    image, points = face
    whole = closing(image, points, points, points, smile_lost(points, WHOLE_SMILE))
    half = closing(image, points, points, points, smile_lost(points, WHOLE_SMILE / 2))
    upper, lower = find_opening(image, points)
    gap = (lower - upper)[1:-1, 1]
    assert (whole.closed, half.closed) == (pytest.approx(1), pytest.approx(0.5))
    assert np.abs(whole.edges[0] - whole.edges[1]).max() < 1e-9
    np.testing.assert_allclose((half.edges[1] - half.edges[0])[1:-1, 1], gap / 2, atol=1e-9)
    steps = (torch.arange(256) + 0.5) / 256
    position = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1)
    stays = [float((1 - above - below).sum()) for above, below, _ in (item.layers(position) for item in (half, whole))]
    assert stays[1] < 0.2 * stays[0]


def test_a_mouth_that_opens_or_smiles_more_is_left_as_it_is(face):
    image, points = face
    opened = points.copy()
    opened[[65, 66, 67], 1] += 0.02
    assert closing(image, points, points, points, smile_lost(points, -0.05)) is None
    assert closing(image, points, points, opened, smile_lost(points, WHOLE_SMILE)) is None


def test_dark_spots_beside_closed_lips_are_lifted_and_nothing_else(face):
    image, points = face
    lips = closing(image, points, points, points, smile_lost(points, WHOLE_SMILE))
    corner = ((lips.edges[0][0] + lips.edges[1][0]) / 2 * 256).astype(int)
    photo = torch.full_like(image, 0.5)
    photo[..., corner[1] : corner[1] + 3, corner[0] : corner[0] + 3] = -0.9
    photo[..., 20:23, 20:23] = -0.9  # far from the mouth
    steps = (torch.arange(256) + 0.5) / 256
    lifted = lift_corners(photo, torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1), lips, 256)
    assert float(lifted[..., corner[1] + 1, corner[0] + 1].max()) == pytest.approx(0.5 - CORNER_SHADE, abs=0.02)
    assert torch.equal(lifted[..., :100, :], photo[..., :100, :])
    assert float(lifted.max()) == 0.5
