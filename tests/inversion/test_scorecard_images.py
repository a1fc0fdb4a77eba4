"""A scorecard takes aligned faces as they are, and cuts faces out of photos that are not aligned."""

import numpy as np
import pytest
import torch
from PIL import Image

from inversion.config import ScorecardConfig
from inversion.faces.align import align_face, face_quad
from inversion.faces.detect import detect_faces
from inversion.scorecard_images import read_images
from stylegan_core.console import Console
from stylegan_core.errors import ConfigError, FaceNotFoundError
from stylegan_core.images import to_uint8


@pytest.fixture
def face(astronaut, faces64):
    """The astronaut's face as the generator's are cut, uint8 [128, 128, 3]."""
    quad = face_quad(detect_faces(astronaut)[0].landmarks, faces64.meta.alignment)
    return to_uint8(align_face(astronaut, quad, 128))[0]


def saved(folder, **pictures):
    folder.mkdir()
    for name, picture in pictures.items():
        Image.fromarray(picture).save(folder / f"{name}.png")
    return ScorecardConfig(data=str(folder), images=max(1, len(pictures) - 1), real=1)


def test_photos_have_their_faces_cut_out_and_it_is_said(astronaut, face, faces64, tmp_path, capsys):
    config = saved(tmp_path / "photos", a=astronaut[:300], b=face, c=astronaut)
    images = read_images(config, faces64, Console())
    assert images.cut_out
    assert images.targets.shape == (2, 3, 64, 64) and images.real.shape == (1, 3, 64, 64)
    expected = torch.nn.functional.avg_pool2d(torch.from_numpy(face.copy()).permute(2, 0, 1)[None] / 127.5 - 1, 2)
    assert (images.targets - expected).abs().mean(dim=(1, 2, 3)).tolist() == pytest.approx(
        [0, 0], abs=0.2
    )  # detection differs a little
    assert "the largest face of each picture is cut out" in capsys.readouterr().out


def test_aligned_faces_and_what_is_no_face_stay_as_they_are(face, faces64, tmp_path, capsys):
    noise = np.random.default_rng(0).integers(0, 255, face.shape, dtype=np.uint8)
    images = read_images(saved(tmp_path / "aligned", a=noise, b=face, c=noise), faces64, Console())
    boxes = face.reshape(64, 2, 64, 2, 3).mean(axis=(1, 3))
    assert not images.cut_out
    assert np.abs(images.targets[0].permute(1, 2, 0).numpy() * 127.5 + 127.5 - boxes).max() <= 1
    assert capsys.readouterr().out == ""


def test_a_photo_without_a_face_among_photos_is_named(astronaut, faces64, tmp_path):
    empty = np.full((80, 120, 3), 90, np.uint8)
    with pytest.raises(FaceNotFoundError, match=r"c\.png: no face found.*dataset make"):
        read_images(saved(tmp_path / "photos", a=astronaut, b=astronaut, c=empty), faces64, Console())
    real = read_images(saved(tmp_path / "more", a=empty, b=astronaut), faces64, Console()).real
    assert len(real) == 0  # what edits are compared with can do without


def test_more_images_than_there_are_are_refused(face, faces64, tmp_path):
    config = saved(tmp_path / "one", a=face)
    with pytest.raises(ConfigError, match="the data holds 1; ask for 1"):
        read_images(ScorecardConfig(data=config.data, images=2), faces64, Console())
