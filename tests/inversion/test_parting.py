"""Closed lips that part, and the teeth between them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from inversion.config import RestorerConfig
from inversion.faces.align import align_face, face_quad
from inversion.faces.detect import detect_faces
from inversion.faces.landmarks import INNER_LIPS, LEFT_CORNER, RIGHT_CORNER, find_landmarks
from inversion.faces.lips import BROAD_SMILE, SLIT, closing, moving_lips, parting
from inversion.faces.mouth_frame import MouthFrame
from inversion.faces.paste import FaceEdit, paste_faces
from inversion.faces.pins import Pins
from inversion.faces.restore import find_restorer, find_teeth
from inversion.faces.seam import find_seam
from inversion.faces.teeth import PICTURE, opening_mask, paint_teeth, sketch, tooth_white
from inversion.train_restorer import train_restorer
from stylegan_core.assets import asset_path
from stylegan_core.checkpoints.load import load_generator
from stylegan_core.console import Console
from stylegan_core.directions import load_direction
from stylegan_core.errors import ConfigError
from stylegan_core.images import to_tensor, to_uint8
from stylegan_core.networks.protocol import Alignment

FACES = Alignment(0.8, 0.08)
SIDE = 256


@pytest.fixture(scope="module")
def photo(astronaut):
    """Her face, which shows teeth, its landmarks, and where the pixels lie."""
    (found,) = detect_faces(astronaut)
    image = align_face(astronaut, face_quad(found.landmarks, FACES), SIDE)
    return image, find_landmarks(image, FACES)[0].double().numpy()


@pytest.fixture(scope="module")
def closed(photo):
    """Her face with a patch of lips that a bent dark line parts, its landmarks, and that line [x, 2]."""
    image, points = photo
    frame = MouthFrame.of(points)
    places = frame.inside((np.mgrid[:SIDE, :SIDE][::-1].transpose(1, 2, 0) + 0.5) / SIDE)
    height = float(frame.inside(points[INNER_LIPS])[:, 1].mean())
    line = height + 0.04 * (1 - 4 * places[..., 0] ** 2)
    lips = np.abs(places[..., 1] - height) < 0.3
    image = image.clone()
    image[0, :, torch.from_numpy(lips & (np.abs(places[..., 0]) < 0.7))] = torch.tensor([[0.1], [-0.3], [-0.25]])
    image[0, :, torch.from_numpy(np.abs(places[..., 1] - line) < 0.025)] = -0.7
    at = np.linspace(-0.5, 0.5, 9)
    points = points.copy()
    for upper, lower in ((61, 67), (62, 66), (63, 65)):  # her landmarks show her open mouth
        points[[upper, lower]] = points[[upper, lower]].mean(axis=0)
    return image, points, frame.outside(np.stack([at, height + 0.04 * (1 - 4 * at**2)], axis=1))


def smiling(points, amount):
    """The motion of a mouth whose corners go out by `amount` eye distances together."""
    unit = np.linalg.norm(points[36:42].mean(axis=0) - points[42:48].mean(axis=0))
    moved = np.zeros((68, 2))
    moved[[LEFT_CORNER, RIGHT_CORNER], 0] = -amount * unit / 2, amount * unit / 2
    return moved, unit


def positions():
    steps = (torch.arange(SIDE) + 0.5) / SIDE
    return torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1)


WHOLE = np.array([[0, 0], [0, SIDE], [SIDE, SIDE], [SIDE, 0]], float)


def test_the_seam_is_the_dark_line_between_the_lips(closed):
    image, points, line = closed
    assert np.abs(find_seam(image, points) - line)[1:-1].max() < 1.5 / SIDE
    off = points.copy()
    off[48:68, 1] -= 0.02  # landmarks of wrinkled faces lie off
    assert np.abs(find_seam(image, off) - line)[1:-1].max() < 2 / SIDE


def test_lips_do_not_part_where_no_line_is_seen_between_them(closed):
    image, points, _ = closed
    flat = torch.full_like(image, 0.1)
    assert find_seam(flat, points) is None
    assert parting(flat, points, points, points, smiling(points, 0.4)[0]) is None


def test_lips_part_with_a_broad_smile_and_not_with_a_small_one(closed):
    image, points, _ = closed
    moved, unit = smiling(points, BROAD_SMILE + 0.03)
    lips = parting(image, points, points, points, moved)
    gap = (lips.edges[1] - lips.edges[0])[:, 1] / unit
    assert gap.argmax() == len(gap) // 2
    assert gap[[0, -1]].max() < 1e-9
    broader = parting(image, points, points, points, smiling(points, BROAD_SMILE + 0.05)[0])
    assert (broader.edges[1] - broader.edges[0])[4, 1] / unit > gap[4] > SLIT
    assert parting(image, points, points, points, smiling(points, BROAD_SMILE)[0]) is None
    assert closing(image, points, points, points, moved) is None


def test_lips_part_as_the_renders_do(closed):
    image, points, _ = closed
    opened = points.copy()
    opened[[65, 66, 67], 1] += 0.03
    lips = parting(image, points, points, opened, np.zeros((68, 2)))
    assert (lips.edges[1] - lips.edges[0])[4, 1] == pytest.approx(0.03 / 0.83, abs=1e-3)
    above, below, _ = lips.layers(positions())
    middle = ((lips.edges[0] + lips.edges[1]) / 2)[4] * SIDE
    assert float((above + below)[int(middle[1]), int(middle[0])]) < 0.05


def test_a_lip_that_is_dragged_away_parts_them_and_goes_where_it_is_dragged(closed):
    image, points, line = closed
    place, way = line[4] + [0, 0.02], np.array([0.0, 0.05])
    lips = moving_lips(image, points, points, points, np.zeros((68, 2)), Pins(place[None], way[None]))
    assert lips.parted
    assert 0.01 < (lips.edges[1] - lips.edges[0])[4, 1] < 0.08
    column, row = ((place + way) * lips.lower.shape[-1]).astype(int)
    gone = -lips.lower[:, row, column].numpy()  # of a cell, which is .01 of the face
    np.testing.assert_allclose(gone, way, atol=0.008)
    assert moving_lips(image, points, points, points, np.zeros((68, 2)), Pins(place[None], -way[None])) is None


def test_a_mouth_that_shows_teeth_is_not_parted_again(photo):
    image, points = photo
    assert parting(image, points, points, points, smiling(points, 0.4)[0]) is None


def test_teeth_are_as_light_as_the_face_and_darken_towards_the_corners(photo):
    image, points = photo
    white = tooth_white(image, points)
    assert bool((tooth_white(image - 0.5, points) < white).all())
    edges = tuple(np.stack([np.linspace(-0.4, 0.4, 9), np.full(9, height)], axis=1) for height in (0.0, 0.12))
    drawn = sketch(edges[0], white)[0].mean(dim=0)
    row = int((0.06 / PICTURE.height + PICTURE.above) * PICTURE.rows)
    assert float(drawn[row, PICTURE.columns // 2]) > float(drawn[row, PICTURE.columns // 5]) + 0.2
    mask = opening_mask(edges, 0.02)
    assert float(mask.sum()) == pytest.approx(0.8 * 0.12 / PICTURE.width / PICTURE.height * mask.numel(), rel=0.1)


@pytest.mark.parametrize("name", ["auto", "none"])
def test_only_what_lies_between_the_lips_is_painted(closed, name):
    image, points, _ = closed
    lips = parting(image, points, points, points, smiling(points, BROAD_SMILE + 0.05)[0])
    white = tooth_white(image, points)
    above, below, _ = lips.layers(positions())
    between = (1 - above - below).clamp_min(0)
    painted = paint_teeth(find_teeth(name), image, between, positions(), WHOLE, lips, points, white)
    outside = above + below > 1 - 1e-6
    assert_close(painted[0, :, outside], image[0, :, outside], atol=1e-5, rtol=0)
    middle = ((lips.edges[0] + lips.edges[1]) / 2)[4] * SIDE
    shown = painted[0, :, int(middle[1]) - 1 : int(middle[1]) + 2, int(middle[0]) - 8 : int(middle[0]) + 8]
    assert float(shown.mean()) > float(white.mean()) - 0.45
    # The same at twice the size.
    twice = torch.nn.functional.interpolate(image, scale_factor=2, mode="bicubic")
    places = torch.nn.functional.interpolate(positions().permute(2, 0, 1)[None], scale_factor=2, mode="bilinear")
    places = places[0].permute(1, 2, 0)
    above, below, _ = lips.layers(places)
    between = (1 - above - below).clamp_min(0)
    large = paint_teeth(find_teeth(name), twice, between, places, 2 * WHOLE, lips, points, white)
    small = torch.nn.functional.interpolate(large, size=(SIDE, SIDE), mode="area")
    assert float((small - painted).abs()[0, :, ~outside].mean()) < 0.1


def test_a_broad_smile_of_a_closed_mouth_shows_teeth_in_the_photo():
    generator = load_generator("faces256")
    smile = load_direction(asset_path("directions") / "faces256-smile.npz").vector
    with torch.no_grad():
        before, little, broad = (
            generator.synthesis((generator.w_avg + step * smile).expand(1, generator.num_ws, -1), noise_mode="const")
            for step in (-1.0, -0.3, 1.5)
        )
    rgb = to_uint8(before)[0]
    points = find_landmarks(before, FACES)[0].double().numpy()
    frame = MouthFrame.of(points)

    def lightest(edited):
        face = FaceEdit(WHOLE, edited, before, None, FACES, 0.0, None, find_teeth("auto"))
        pasted, _ = paste_faces(rgb, [face], "motion")
        mouth = PICTURE.of(to_tensor(pasted), frame)[0].mean(dim=0)
        return float(mouth[38:60, 62:82].mean(dim=1).max())

    assert lightest(broad) > lightest(little) + 0.1


def test_training_learns_of_mouths_that_show_teeth(astronaut, tmp_path):
    quad = face_quad(detect_faces(astronaut)[0].landmarks, FACES)
    data = tmp_path / "faces"
    data.mkdir()
    for number in range(18):
        shifted = quad + np.array([number % 5 - 2, number % 3 - 1])
        face = align_face(astronaut, shifted, 128)[0]
        pixels = ((face.clamp(-1, 1) + 1) * 127.5).byte().permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(data / f"{number:02}.png")
    config = RestorerConfig(what="teeth", data=str(data), steps=2, batch=2, holdout=9, adversarial_from=1)
    out = tmp_path / "teeth.safetensors"
    train_restorer(str(out), "faces64", config, Console(quiet=True))
    assert find_teeth(str(out)).what == "teeth"
    assert find_restorer(str(out)) is find_restorer("auto")
    assert find_teeth("auto") is not find_teeth(str(out))
    with pytest.raises(ConfigError, match="mouths that show teeth"):
        train_restorer(str(out), "faces64", replace(config, holdout=1), Console(quiet=True))
