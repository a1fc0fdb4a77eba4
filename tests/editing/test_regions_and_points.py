"""Edits confined to parts of a face, and points that are dragged."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from editing.codes import open_code
from editing.drag import Landmarks
from editing.editor import Editor
from editing.operations.base import Edit
from editing.operations.drag import Drag, parse_drags
from editing.operations.measures import SetMeasures
from editing.operations.render import face_edit, pins_of
from editing.operations.transfer import Transfer
from editing.points import in_face, inside, of_photo
from editing.recipe import OutputConfig, format_recipe, parse_recipe
from editing.region_names import check_regions
from editing.regions import aligned_mask, photo_mask
from editing.render import paste_into_photo
from editing.video import repeat_first
from inversion.config import InvertConfig, ProjectionConfig
from inversion.faces.align import align_face
from inversion.faces.landmarks import LEFT_CORNER, find_landmarks
from inversion.faces.paste import look, paste_faces
from inversion.invert import Inverter
from stylegan_core.errors import ConfigError
from stylegan_core.images import read_photo


@pytest.fixture(scope="module")
def portrait(astronaut_file, faces64):
    """The astronaut's photo and latent, as the encoder guesses it."""
    inverter = Inverter(InvertConfig(generator="faces64", device="cpu"), ProjectionConfig(steps=0), faces64)
    photo = read_photo(astronaut_file)
    return photo, inverter.invert_face(photo, inverter.align(photo)[0]).latent


def changed(photo, face, mode="auto"):
    rgb, results = paste_into_photo(photo, [face], mode)
    places = (rgb != photo.rgb).any(axis=-1)
    assert results[0].pixels_changed == places.sum()
    return places


@pytest.mark.parametrize("mode", ["warp", "full", "delta"])
def test_outside_a_region_the_photo_stays_bit_for_bit(portrait, faces64, mode):
    photo, latent = portrait
    whole = changed(photo, Editor(faces64, latent, photo=photo).apply(Transfer("smile", 1.5)), mode)
    places = {}
    for region in ("mouth", "eyes", "mouth,eyes"):
        face = Editor(faces64, latent, photo=photo, region=region).apply(Transfer("smile", 1.5))
        renders, alignment = [face.inverted, face.rendered], faces64.meta.alignment
        mask = photo_mask(region, latent.quad, renders, alignment, *photo.rgb.shape[:2])
        places[region] = changed(photo, face, mode)
        assert places[region].any() and not (places[region] & (mask == 0)).any()
        assert places[region].sum() < whole.sum() / 2
    assert not (places["mouth"] & places["eyes"]).any()
    rows = {region: np.argwhere(places[region])[:, 0].mean() for region in ("eyes", "mouth")}
    assert rows["eyes"] < rows["mouth"]


def test_a_painted_mask_confines_an_edit(portrait, faces64, tmp_path):
    photo, latent = portrait
    middle = round(float(latent.quad[:, 0].mean()))
    painted = np.zeros(photo.rgb.shape, np.uint8)
    painted[:, middle:] = 255
    Image.fromarray(painted).save(tmp_path / "right.png")
    editor = Editor(faces64, latent, photo=photo, region=str(tmp_path / "right.png"))
    places = changed(photo, editor.apply(Transfer("smile", 1.5)))
    assert places[:, middle:].any() and not places[:, :middle].any()
    Image.fromarray(painted[:-1]).save(tmp_path / "small.png")
    with pytest.raises(ConfigError, match="a mask of the photo's size is needed"):
        replace(editor.apply(Transfer("smile", 1.5)), region=str(tmp_path / "small.png")).edited  # noqa: B018


def test_a_face_without_its_photo_is_confined_as_well(faces64):
    latent = open_code("3", faces64)
    free, confined = (Editor(faces64, latent, region=region).apply(Transfer("smile", 1.5)) for region in ("", "mouth"))
    mask = aligned_mask("mouth", [confined.inverted, confined.rendered], faces64, None, None)
    outside = (mask == 0).expand_as(confined.edited)
    assert torch.equal(confined.edited[outside], confined.inverted[outside])
    assert not torch.equal(free.edited[outside], free.inverted[outside])
    with pytest.raises(ConfigError, match="needs the photo"):
        aligned_mask("mask.png", [confined.inverted], faces64, None, None)


@pytest.mark.parametrize("text, reason", [("ears", "expected eyes, brows"), ("no/such.png", "there is no such file")])
def test_regions_that_there_are_not_are_refused(text, reason):
    with pytest.raises(ConfigError, match=reason):
        check_regions(text)


@pytest.mark.parametrize("text", ["1,2", "1,2:3", "a,b:c,d", "1,2:3,inf", "1,2:3,4:5,6", ";".join(["1,2:3,4"] * 101)])
def test_points_that_make_no_sense_are_refused(text):
    with pytest.raises(ConfigError, match="--drag"):
        parse_drags(text)


def test_points_of_the_photo_and_of_the_face_are_each_others_inverse():
    quad = np.array([[10.0, 20], [10, 120], [110, 120], [110, 20]])  # upper left, lower left, lower right, upper right
    points = in_face(quad, [(60, 45), (10, 20), (300, 45)])
    np.testing.assert_allclose(points, [[0.5, 0.25], [0, 0], [2.9, 0.25]])
    np.testing.assert_allclose(of_photo(quad, points), [[60, 45], [10, 20], [300, 45]])
    assert inside(points).tolist() == [True, False, False]


def test_a_dragged_corner_of_the_mouth_goes_where_it_is_dragged(portrait, faces64, monkeypatch):
    monkeypatch.setattr("editing.drag.ROUNDS", (14, 6))
    photo, latent = portrait
    editor, alignment = Editor(faces64, latent, photo=photo), faces64.meta.alignment
    start = find_landmarks(editor.apply().edited.clamp(-1, 1), alignment)[0, LEFT_CORNER].double().numpy()
    target = start - 0.03
    ends = of_photo(latent.quad, np.stack([start, target]))
    text = ":".join(f"{x:.1f},{y:.1f}" for x, y in ends)
    face = editor.apply(Drag(text))
    moved = find_landmarks(face.edited.clamp(-1, 1), alignment)[0, LEFT_CORNER].double().numpy() - start
    way = target - start
    assert 0.6 < float(moved @ way) / float(way @ way) < 1.4
    assert "the point" in face.notes[0] and " ended at " in face.notes[0]


def test_the_photo_s_own_pixels_go_where_they_are_dragged(portrait, faces64, monkeypatch):
    monkeypatch.setattr("editing.drag.ROUNDS", (8, 4))
    photo, latent = portrait
    inner = in_face(latent.quad, [(0, 0), (0, 10)])
    scale = 10 / float(np.linalg.norm(inner[1] - inner[0]))  # pixels a face
    start = of_photo(
        latent.quad, find_landmarks(align_face(photo.rgb, latent.quad, 256), faces64.meta.alignment)[0].double().numpy()
    )[54]
    target = start + 0.03 * scale * np.array([0.6, -0.8])
    words = f"{start[0]:.1f},{start[1]:.1f}:{target[0]:.1f},{target[1]:.1f}"
    face = Editor(faces64, latent, photo=photo).apply(Drag(words))
    (point,) = face.latent.report["edits"][-1]["drag"]
    ended = np.array(point["ended"])
    assert np.linalg.norm(ended - target) < 0.5 * np.linalg.norm(target - start)
    assert np.abs(np.array(face.latent.report["edits"][-1]["pins"])[:, 2:]).max() > 1e-4
    edit = face_edit(faces64, face.latent, face.inverted, face.edited, "none")
    dots = [np.full_like(photo.rgb, 90) for _ in range(2)]  # a photo of one dot, which the same motion moves
    y, x = np.mgrid[: photo.rgb.shape[0], : photo.rgb.shape[1]]
    bright = 150 * np.exp(-((x + 0.5 - start[0]) ** 2 + (y + 0.5 - start[1]) ** 2) / 8)
    looked = look(photo.rgb, edit)
    monkeypatch.setattr("inversion.faces.paste.look", lambda *_: looked)
    monkeypatch.setattr("inversion.faces.paste.crease_light", lambda *_: torch.zeros(1, 3, 1, 1))
    dots[1] = (dots[1] + bright[..., None]).round().astype(np.uint8)
    moved, _ = paste_faces(dots[1], [edit], "motion")
    weight = np.clip(moved[..., 0].astype(float) - 95, 0, None)
    centre = [(weight * axis).sum() / weight.sum() + 0.5 for axis in (x, y)]
    assert np.linalg.norm(np.array(centre) - ended) < 0.12 * np.linalg.norm(target - start) + 0.3


def test_pins_of_a_stranger_s_file_are_read_with_care(portrait):
    _, latent = portrait
    for wrong in ("x", [1, 2], [[1, 2, 3]], [[0.5, 0.5, float("nan"), 0]], [[0.5, 0.5, 9, 0]], [[0.5] * 4] * 101, {}):
        assert pins_of(replace(latent, report={"edits": [{"pins": wrong}, 3]})) is None
    assert pins_of(replace(latent, report={"edits": "x"})) is None
    two = [{"pins": [[0.4, 0.7, 0.01, 0.0]]}, {"pins": [[0.4, 0.7, 0.0, 0.02], [0.6, 0.7, 0.0, 0.0]]}]
    pins = pins_of(replace(latent, report={"edits": two}))
    np.testing.assert_allclose(pins.places, [[0.4, 0.7], [0.6, 0.7]])
    np.testing.assert_allclose(pins.rest, [[0.01, 0.02], [0, 0]])


def test_points_lie_on_landmarks_only_where_there_are_some_and_a_face(portrait, faces64):
    _, latent = portrait
    alignment, face = faces64.meta.alignment, Editor(faces64, latent).apply().edited.clamp(-1, 1)
    corner = find_landmarks(face, alignment)[0, LEFT_CORNER]
    points = torch.stack([torch.tensor([0.5, 0.02]), corner - 0.002])
    found = Landmarks(face, alignment, points)
    assert found.on.tolist() == [1] and found.which.tolist() == [LEFT_CORNER]
    torch.testing.assert_close(found.ends(face), points[1:])
    way = torch.tensor([[0.0, 0.0], [0.02, 0.0]])
    assert float(found.distance(face, way, way)) == pytest.approx(1.0, abs=1e-3)
    assert float(found.distance(face, 0 * way, way)) == pytest.approx(0.0, abs=1e-3)
    assert not len(Landmarks(torch.zeros_like(face), alignment, points).on)


def test_a_point_beside_the_face_leaves_it_and_says_so(portrait, faces64):
    photo, latent = portrait
    face = Editor(faces64, latent, photo=photo).apply(Drag("-500,-500:-490,-500"))
    assert torch.equal(face.latent.ws, latent.ws) and "no point that is dragged lies on this face" in face.notes[0]


def test_a_mask_that_is_not_there_is_refused_before_anything_is_loaded(tmp_path):
    with pytest.raises(ConfigError, match="there is no such file"):
        Drag("1,2:3,4", drag_mask=str(tmp_path / "none.png")).check("faces64")


def test_a_generator_without_features_is_refused(linear_generator):
    with pytest.raises(ConfigError, match="shows no layer's features"):
        Drag("1,2:3,4").resolve(linear_generator, lambda text: text)


def test_recipes_name_regions_measures_and_points():
    text = '[[edit]]\nset = "eyes-open=.30, yaw=8"\n\n[[edit]]\ndrag = "1,2:3,4"\n\n[output]\nregion = "mouth,eyes"\n'
    recipe = parse_recipe(text)
    assert recipe.edits == (SetMeasures("eyes-open=.30, yaw=8"), Drag("1,2:3,4"))
    assert parse_recipe(format_recipe(recipe)) == recipe
    assert "change mouth,eyes only" in recipe.describe()
    assert recipe.digests()[1] != replace(recipe, output=OutputConfig()).digests()[1]
    with pytest.raises(ConfigError, match=r"line 2: nothing that is measured is called 'ears'"):
        parse_recipe('[[edit]]\nset = "ears=1"\n')
    with pytest.raises(ConfigError, match=r"line 2: --region 'ears' is unknown"):
        parse_recipe('[output]\nregion = "ears"\n')


def test_a_film_repeats_the_step_of_its_first_frame():
    asked = []

    def search(ws, render):
        asked.append(ws)
        return ws + len(asked), {"notes": ["first"], "edits": [{"appearance": 0.0}]}

    film = repeat_first(Edit("points", search, steady=False, repeats=True))
    made = [film.apply(torch.full((1, 2, 3), float(frame)), None) for frame in range(3)]
    frames = [ws for ws, _ in made]
    assert [said["edits"] for _, said in made] == [[{"appearance": 0.0}]] * 3  # or they would be pasted otherwise
    assert film.steady and len(asked) == 1
    assert [float(frame.mean()) for frame in frames] == [1.0, 2.0, 3.0]
    assert not repeat_first(Edit("auto", search, steady=False)).steady  # one that looks for a strength is still refused
