import numpy as np
import torch
from torch.testing import assert_close

from inversion.faces.align import align_face, face_quad
from inversion.faces.detect import detect_faces
from inversion.faces.landmarks import EYES, LEFT_CORNER, MIRROR, MOUTH, NOSE, RIGHT_CORNER, find_landmarks
from stylegan_core.networks.protocol import Alignment

FACES = Alignment(0.8, 0.08)


def landmarks_of(photo, alignment=FACES, side=256):
    """The landmarks in pixels of the photo, and MTCNN's five."""
    (face,) = detect_faces(photo)
    quad = face_quad(face.landmarks, alignment)
    found = find_landmarks(align_face(photo, quad, side), alignment)[0].numpy()
    return quad[0] + found[:, :1] * (quad[3] - quad[0]) + found[:, 1:] * (quad[1] - quad[0]), face.landmarks


def test_landmarks_lie_where_another_detector_sees_eyes_nose_and_mouth(astronaut):
    points, (left_eye, right_eye, nose, left_mouth, right_mouth) = landmarks_of(astronaut)
    eye_distance = np.linalg.norm(right_eye - left_eye)
    pairs = [
        (points[36:42].mean(axis=0), left_eye),
        (points[42:48].mean(axis=0), right_eye),
        (points[NOSE][3], nose),
        (points[LEFT_CORNER], left_mouth),
        (points[RIGHT_CORNER], right_mouth),
    ]
    for ours, theirs in pairs:
        assert np.linalg.norm(ours - theirs) < 0.2 * eye_distance
    assert (points[MOUTH][:, 1] > points[EYES][:, 1].max()).all()
    assert points[48:60, 0].argmin() == 0
    assert points[48:60, 0].argmax() == 6


def test_landmarks_do_not_depend_on_the_crop_or_its_size(astronaut):
    wide = landmarks_of(astronaut, Alignment())[0]
    for other in (landmarks_of(astronaut)[0], landmarks_of(astronaut, side=128)[0]):
        assert np.abs(other - wide).max() < 5  # pixels, of a face of 200


def test_landmarks_of_a_mirrored_face_are_mirrored(astronaut):
    (face,) = detect_faces(astronaut)
    crop = align_face(astronaut, face_quad(face.landmarks, FACES), 128)
    points, mirrored = find_landmarks(torch.cat([crop, crop.flip(3)]), FACES)
    back = torch.stack([1 - mirrored[:, 0], mirrored[:, 1]], dim=1)[list(MIRROR)]
    assert (back - points).abs().max() < 0.012


def test_landmarks_move_with_the_face(astronaut):
    (face,) = detect_faces(astronaut)
    quad = face_quad(face.landmarks, FACES)
    shift = np.array([6.0, -4.0])
    points, moved = (find_landmarks(align_face(astronaut, corners, 128), FACES)[0] for corners in (quad, quad + shift))
    side = np.linalg.norm(quad[3] - quad[0])
    mean = (points - moved).mean(dim=0) * side
    assert_close(mean, torch.tensor([6.0, -4.0]), atol=2.0, rtol=0, check_dtype=False)


def test_the_mirrored_order_is_its_own_inverse():
    order = list(MIRROR)
    assert [order[index] for index in order] == list(range(68))
