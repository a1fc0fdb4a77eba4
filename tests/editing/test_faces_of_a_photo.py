import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import cli
from inversion.faces.paste import FaceEdit, ellipse_mask, paste_face, paste_faces, seam_ratio

STREAM = torch.Generator().manual_seed(1)


def square(x, y, side):
    return np.array([[x, y], [x, y + side], [x + side, y + side], [x + side, y]], np.float64)


def noise_photo(side=120):
    return np.random.RandomState(0).randint(40, 216, (side, side, 3)).astype(np.uint8)


def an_edit(x, y, side=60, change=0.3):
    inverted = torch.rand(1, 3, 16, 16, generator=STREAM) - 0.5
    return FaceEdit(square(x, y, side), inverted + change, inverted)


def test_faces_apart_are_pasted_as_each_alone_and_nothing_else_changes():
    photo, edits = noise_photo(), [an_edit(0, 0, 50), an_edit(60, 60, 50, -0.4)]
    rgb, results = paste_faces(photo, edits, "delta")
    masks = np.stack([result.mask for result in results])
    assert not (masks.min(axis=0) > 0).any()
    for edit, mask in zip(edits, masks, strict=True):
        alone = paste_face(photo, edit.quad, edit.edited, edit.inverted, "delta").rgb
        assert (rgb[mask > 0] == alone[mask > 0]).all()
    assert (rgb[masks.max(axis=0) == 0] == photo[masks.max(axis=0) == 0]).all()


@pytest.mark.parametrize("mode", ["delta", "full", "warp"])
def test_overlapping_faces_are_mixed_by_their_masks_in_any_order(mode):
    photo, edits = noise_photo(), [an_edit(5, 5), an_edit(40, 20, 70, -0.3), an_edit(20, 45)]
    rgb, results = paste_faces(photo, edits, mode)
    again, _ = paste_faces(photo, edits[::-1], mode)
    assert np.abs(rgb.astype(int) - again).max() <= 2  # rounding at each face
    masks = np.stack([result.mask for result in results])
    alone = np.stack([paste_face(photo, e.quad, e.edited, e.inverted, mode).rgb for e in edits]).astype(float)
    overlap = (masks > 0).sum(axis=0) > 1
    assert overlap.sum() > 500
    expected = (masks[..., None] * alone).sum(axis=0)[overlap] / masks.sum(axis=0)[overlap][:, None]
    assert np.abs(rgb[overlap] - expected).max() <= 1.5


def test_the_seam_ratio_is_1_for_the_photo_itself_and_grows_with_a_seam():
    photo = np.tile(np.arange(120, dtype=np.uint8)[:, None, None], (1, 120, 3))
    steps = (torch.arange(120) + 0.5) / 120
    weight = ellipse_mask(torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1)).numpy()
    assert seam_ratio(photo, photo, weight) == 1
    hard = photo.copy()
    hard[weight > 0.5] += 60
    soft = (photo + 60 * weight[..., None]).round().astype(np.uint8)
    assert seam_ratio(photo, hard, weight) > seam_ratio(photo, soft, weight) > 1.2


def test_full_matches_the_colour_of_the_photo():
    photo = np.full((100, 100, 3), (150, 100, 80), np.uint8)
    render = torch.full((1, 3, 16, 16), -0.5)
    result = paste_face(photo, square(10, 10, 80), render, render, "full")
    assert np.abs(result.rgb.astype(int) - photo).max() <= 1
    np.testing.assert_allclose(result.colour_shift, np.array([150, 100, 80]) / 127.5 - 0.5, atol=0.01)


def run(*words, code=0):
    result = CliRunner().invoke(cli.main, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(scope="module")
def four_faces(astronaut, tmp_path_factory):
    """One photo with four faces of different sizes, side by side in two rows."""
    face = Image.fromarray(astronaut[:230, 120:330])
    canvas = Image.new("RGB", (450, 470), (90, 100, 110))
    for (x, y), scale in zip([(0, 0), (225, 0), (0, 240), (225, 240)], (1.0, 0.95, 0.9, 0.85), strict=True):
        canvas.paste(face.resize((round(210 * scale), round(230 * scale)), Image.Resampling.LANCZOS), (x, y))
    path = tmp_path_factory.mktemp("four") / "four.png"
    canvas.save(path)
    return path


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def test_four_faces_in_one_command_and_as_four_latents_give_the_same_photo(four_faces, tmp_path):
    photo = pixels(four_faces)
    run("edit", four_faces, "--faces", "all", "--transfer", "smile:-1", "--steps", 0, "--out", tmp_path / "a")
    folder = tmp_path / "a" / "four"
    assert sorted(item.name for item in folder.iterdir()) == ["face0", "face1", "face2", "face3", "photo_edited.png"]
    edited = pixels(folder / "photo_edited.png")
    quads = [np.load(folder / f"face{index}" / "latent.npz")["quad"] for index in range(4)]
    sides = [np.hypot(*(quad[3] - quad[0])) for quad in quads]
    assert sides == sorted(sides, reverse=True)
    changed = (edited != photo).any(axis=-1)
    rows, columns = np.nonzero(changed)
    points = np.stack([columns, rows], axis=1) + 0.5
    inside = np.zeros(len(points), bool)
    for quad in quads:
        axes = np.linalg.inv(np.stack([quad[3] - quad[0], quad[1] - quad[0]], axis=1))
        inside |= ((((points - quad[0]) @ axes.T - 0.5) / [0.47, 0.49]) ** 2).sum(axis=1) <= 1
    assert inside.all()
    for index, quad in enumerate(quads):
        centre = quad.mean(axis=0).astype(int)
        near = changed[centre[1] - 20 : centre[1] + 40, centre[0] - 20 : centre[0] + 20]
        assert near.any(), f"face{index} did not change"
        report = json.loads((folder / f"face{index}" / "report.json").read_text())["paste"]
        assert 0.5 < report["seam_gradient_ratio"] < 1.5
        assert report["pixels_changed"] == changed.sum()
    run("invert", four_faces, "--faces", "all", "--steps", 0, "--out", tmp_path / "i")
    latents = [tmp_path / "i" / "four" / f"face{index}" / "latent.npz" for index in (2, 0, 3, 1)]
    run("edit", *latents, "--transfer", "smile:-1", "--out", tmp_path / "b")
    assert (pixels(tmp_path / "b" / "four" / "photo_edited.png") == edited).all()


def test_two_latents_of_one_face_are_two_results(four_faces, tmp_path):
    run("invert", four_faces, "--steps", 0, "--out", tmp_path / "i")
    latent = tmp_path / "i" / "four" / "face0" / "latent.npz"
    run("edit", latent, latent, "--transfer", "smile:-1", "--out", tmp_path / "b")
    assert sorted(item.name for item in (tmp_path / "b").iterdir()) == ["four", "four-2"]


def test_auto_from_the_command_line_writes_its_curve(four_faces, tmp_path):
    words = ["--transfer", "smile:auto", "--target", "0.1", "--steps", 0, "--out", tmp_path]
    result = run("edit", four_faces, *words)
    folder = tmp_path / "four" / "face0"
    report = json.loads((folder / "report.json").read_text())["strength_search"]
    assert report["options"]["target"] == 0.1
    assert report["best"]["identity"] <= 0.35
    assert (abs(report["best"]["value"] - 0.1) <= 0.05) == report["reached"]
    assert (folder / "strength.png").is_file()
    assert f"strength {report['best']['strength']:.2f}" in result.output


def test_a_set_of_photos_gives_its_mean_expression(four_faces, tmp_path):
    run("generate", "--seeds", "1-4", "--out", tmp_path / "g")
    for name, seeds in {"neutral": (1, 2), "smiling": (3, 4)}.items():
        (tmp_path / name).mkdir()
        for seed in seeds:
            (tmp_path / "g" / f"seed{seed:04d}.npz").rename(tmp_path / name / f"{seed}.npz")
    pair = tmp_path / "neutral", tmp_path / "smiling"
    run("edit", four_faces, "--transfer-from", *pair, "--steps", 0, "--out", tmp_path / "e")
    latent = np.load(tmp_path / "e" / "four" / "face0" / "latent.npz")
    means = [np.mean([np.load(file)["w"] for file in folder.iterdir()], axis=0) for folder in pair]
    np.testing.assert_allclose(latent["w"] - latent["w_origin"], means[1] - means[0], atol=1e-4)
    (tmp_path / "empty").mkdir()
    failed = run("edit", four_faces, "--transfer-from", tmp_path / "empty", pair[1], "--out", tmp_path / "f", code=2)
    assert "none of the 0" in failed.stderr
