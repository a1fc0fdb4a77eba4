from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, laplace
from skimage.color import rgb2lab

from inversion.faces.align import face_quad
from inversion.faces.attributes import UNITS
from inversion.faces.detect import detect_faces
from inversion.faces.doubts import doubts_of_edit
from inversion.faces.looks import PhotoScores, foreign_colour, score_photo
from stylegan_core.images import to_tensor
from stylegan_core.networks.protocol import Alignment

FACES = Alignment(0.8, 0.08)


@pytest.fixture(scope="module")
def portrait(astronaut):
    (found,) = detect_faces(astronaut)
    left, right = found.landmarks[3:]
    unit = np.linalg.norm(found.landmarks[1] - found.landmarks[0])
    x, y = (left + right) / 2
    rows, columns = (slice(int(c - r * unit), int(c + r * unit)) for c, r in ((y, 0.35), (x, 0.5)))
    return astronaut, face_quad(found.landmarks, FACES), (rows, columns)


def test_a_photo_beside_itself_did_not_change(portrait):
    photo, quad, _ = portrait
    scores = score_photo(photo, photo.copy(), quad, FACES)
    assert scores.before == scores.after
    assert set(scores.before) == set(UNITS)
    assert (scores.identity_distance, scores.mouth_sharpness) == (0, 1)
    assert doubts_of_edit(scores, {}) == []


def test_a_blurred_mouth_is_as_much_less_sharp_as_scipy_says_and_is_doubted(portrait):
    photo, quad, mouth = portrait
    blurred = photo.copy()
    blurred[mouth] = gaussian_filter(photo.astype(float), (1.5, 1.5, 0))[mouth].round()
    scores = score_photo(photo, blurred, quad, FACES)
    inner = tuple(slice(s.start + (s.stop - s.start) // 5, s.stop - (s.stop - s.start) // 5) for s in mouth)
    detail = [np.abs(laplace(gaussian_filter(image.astype(float).mean(axis=2), 0.5))[inner]).mean() for image in
              (photo, blurred)]  # fmt: skip
    assert scores.mouth_sharpness == pytest.approx(detail[1] / detail[0], abs=0.2)
    assert scores.mouth_sharpness < 0.6
    assert any("mouth is blurred" in text for text in doubts_of_edit(scores, {}))


def test_a_purple_mouth_is_foreign_to_the_face_and_is_doubted(portrait):
    photo, quad, mouth = portrait
    purple = photo.copy()
    purple[mouth] = (0.6 * purple[mouth] + 0.4 * np.array([128, 0, 200])).astype(np.uint8)
    scores = score_photo(photo, purple, quad, FACES)
    assert scores.foreign_colour > 3
    assert any("colours that are not this face's" in text for text in doubts_of_edit(scores, {}))


def test_foreign_colour_is_the_lab_distance_to_the_nearest_pixel():
    rng = np.random.RandomState(0)
    part, own = (rng.randint(0, 255, (12, 12, 3)).astype(np.uint8) for _ in range(2))
    inner, known = rgb2lab(part[2:10, 2:10] / 255).reshape(-1, 3), rgb2lab(own / 255).reshape(-1, 3)
    expected = np.linalg.norm(inner[:, None] - known[None], axis=2).min(axis=1).mean()
    assert foreign_colour(to_tensor(part)[0], [to_tensor(own)[0]]) == pytest.approx(expected, rel=1e-4)


def still(**after):
    before = dict.fromkeys(UNITS, 0.3) | {"age": 30.0}
    return PhotoScores(before, before | after, 0.1, 1.0, 0.4)


def test_an_edit_that_shows_nothing_is_named():
    def hardly(scores, towards):
        return any("hardly shows" in text for text in doubts_of_edit(scores, towards))

    assert hardly(still(), {"happy": 1.0})
    assert not hardly(still(), {"happy": 0.5})  # a hint of it is what was asked for
    assert not hardly(still(happy=0.5), {"happy": 1.0})
    assert hardly(still(happy=0.5), {"happy": -1.0})  # the wrong way, and the face stays as it was
    assert not hardly(still(**{"mouth-width": 0.35}), {"happy": 1.0})  # a smile that the judge does not see
    assert not hardly(still(age=36.0), {"age": 1.0})
    assert hardly(still(age=36.0, **{"mouth-width": 0.4}), {"age": -1.0})
    assert hardly(still(yaw=2.0), {"yaw": 1.0})
    assert not hardly(still(yaw=9.0), {"yaw": 1.0})
    saturated = replace(still(gender=0.99), before=still().before | {"gender": 0.99})
    assert not hardly(saturated, {"gender": 1.0})


def test_a_smile_that_was_to_go_and_is_still_there_is_named():
    smiling = replace(still(happy=0.9, **{"mouth-width": 0.2}), before=still().before | {"happy": 1.0})
    assert any("still looks happy" in text for text in doubts_of_edit(smiling, {"happy": -1.0}))
    assert not doubts_of_edit(smiling, {"happy": -0.5})
    assert not doubts_of_edit(replace(smiling, after=smiling.after | {"happy": 0.2}), {"happy": -1.0})


def test_a_head_that_motion_cannot_turn_is_named_and_a_rendered_one_is_looked_at():
    for seen, strength in ((still(yaw=1.0), 1.0), (still(yaw=9.0), -1.0)):
        assert any("keeps the head as it is" in text for text in doubts_of_edit(seen, {"yaw": strength}, "motion"))
    assert doubts_of_edit(still(yaw=9.0), {"yaw": 1.0}, "motion") == []
    assert doubts_of_edit(still(yaw=9.0), {"yaw": 1.0}, "full") == []
    assert doubts_of_edit(still(), {"yaw": 0.0}, "motion") == []


def test_another_person_is_named():
    assert any("another person" in text for text in doubts_of_edit(replace(still(), identity_distance=0.5), {}))
