import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from stylegan_core.errors import ConfigError, DatasetError, OutputError
from stylegan_core.training.config import DatasetConfig
from stylegan_core.training.dataset import ImageDataset
from stylegan_core.training.prepare import centre_cropper, inspect_dataset, make_dataset, report_lines


def make(source, out, **options):
    config = DatasetConfig(**{"resolution": 16, **options})
    return make_dataset(str(source), str(out), config, centre_cropper(config.resolution, config.min_side or 8))


@pytest.fixture
def photos(tmp_path):
    path = tmp_path / "photos"
    (path / "sub").mkdir(parents=True)
    for index in range(4):
        pixels = np.random.RandomState(index).randint(0, 256, (20 + index, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path / ("sub" if index % 2 else ".") / f"{index}.png")
    return path


def test_pictures_become_a_set_that_trains_and_inspects_clean(photos, tmp_path):
    report = make(photos, tmp_path / "set.zip")
    assert report.num_images == 4 and report.rejects == []
    data = ImageDataset(tmp_path / "set.zip")
    assert data.num_images == 4 and data.resolution == 16
    inspected = inspect_dataset(str(tmp_path / "set.zip"))
    assert inspected.rejects == [] and inspected.facts["sizes"] == {"16x16": 4} and inspected.facts["labels"] == "none"
    assert next(iter(report_lines(inspected, "read"))) == "4 images read, 0 problems"


def test_the_middle_is_cut_out(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    pixels = np.zeros((16, 48, 3), np.uint8)
    pixels[:, 16:32] = 200
    Image.fromarray(pixels).save(source / "a.png")
    make(source, tmp_path / "set.zip")
    assert (ImageDataset(tmp_path / "set.zip").image(0) == 200).all()


def test_turned_photos_are_set_upright(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:8] = 255  # light above
    image = Image.fromarray(pixels)
    exif = image.getexif()
    exif[0x0112] = 3  # held upside down
    image.save(source / "a.png", exif=exif)
    make(source, tmp_path / "set.zip")
    made = ImageDataset(tmp_path / "set.zip").image(0)
    assert made[:, :6].max() < 10 and made[:, 10:].min() > 245


def test_the_same_input_gives_the_same_bytes(photos, tmp_path):
    for name in ("one.zip", "two.zip"):
        make(photos, tmp_path / name, quality=90)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_rejects_are_named_with_their_reason_and_the_rest_is_kept(photos, tmp_path):
    whole = (photos / "0.png").read_bytes()
    (photos / "cut.png").write_bytes(whole[:200])
    (photos / "twice.png").write_bytes(whole)
    Image.new("RGB", (4, 90)).save(photos / "thin.png")
    report = make(photos, tmp_path / "set.zip")
    assert report.num_images == 4
    reasons = dict(report.rejects)
    assert reasons.keys() == {"cut.png", "twice.png", "thin.png"}
    assert "not a readable image" in reasons["cut.png"]
    assert reasons["twice.png"] == "the same picture as 0.png"
    assert "4 pixels a side, fewer than 8" in reasons["thin.png"]


def test_folders_become_classes(photos, tmp_path):
    make(photos, tmp_path / "set.zip", folders_as_labels=True)
    data = ImageDataset(tmp_path / "set.zip", labels=True)
    assert data.c_dim == 2 and data.labels.argmax(1).tolist() == [0, 0, 1, 1]


def test_labels_of_the_source_go_along(photos, tmp_path):
    labels = [["0.png", [0.5]], ["2.png", [1.5]], ["sub/1.png", [2.5]]]
    (photos / "dataset.json").write_text(json.dumps({"labels": labels}))
    report = make(photos, tmp_path / "set.zip")
    assert dict(report.rejects) == {"sub/3.png": "dataset.json has no label for it"}
    assert ImageDataset(tmp_path / "set.zip", labels=True).labels[:, 0].tolist() == [0.5, 1.5, 2.5]


def test_nothing_is_overwritten_and_nothing_half_made_is_left(photos, tmp_path, monkeypatch):
    out = tmp_path / "made" / "set.zip"
    make(photos, out)
    before = out.read_bytes()
    with pytest.raises(OutputError, match="there already"):
        make(photos, out)
    assert out.read_bytes() == before

    def full(self, *args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    with pytest.raises(OutputError, match="No space left"):
        make(photos, tmp_path / "made" / "other.zip")
    assert [path.name for path in out.parent.iterdir()] == ["set.zip"]


@pytest.mark.parametrize(
    ("out", "options", "message"),
    [
        ("set", {}, r"ends in \.zip"),
        ("set.zip", {"resolution": 20}, "power of two"),
        ("s.zip", {"quality": 101}, "100"),
    ],
)
def test_options_that_make_no_sense_are_refused(out, options, message, photos, tmp_path):
    with pytest.raises(ConfigError, match=message):
        make(photos, tmp_path / out, **options)


def test_a_folder_without_a_usable_file_is_refused(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    with pytest.raises(DatasetError, match="no images"):
        make(source, tmp_path / "set.zip")
    (source / "a.png").write_text("text")
    with pytest.raises(DatasetError, match="none of its 1 files"):
        make(source, tmp_path / "set.zip")
    assert not (tmp_path / "set.zip").exists()


def test_inspection_names_what_a_run_would_stumble_over(folder):
    Image.new("RGB", (16, 18)).save(folder / "img01.png")
    (folder / "img02.png").write_text("text")
    labels = [[f"img{index:02d}.png", 0] for index in range(11)] + [["gone.png", 1]]
    (folder / "dataset.json").write_text(json.dumps({"labels": labels}))
    problems = dict(inspect_dataset(str(folder)).rejects)
    assert problems["img01.png"] == "16x18 pixels, not 16x16 as most are"
    assert "not a readable image" in problems["img02.png"]
    assert problems["img11.png"] == "dataset.json has no label for it"
    assert problems["dataset.json"] == "labels gone.png, which is not there"


def test_faces_are_cropped_upright_and_photos_without_one_rejected(tmp_path):
    from skimage.data import astronaut

    from inversion.faces.crops import face_cropper
    from inversion.faces.detect import detect_faces
    from stylegan_core.networks.protocol import Alignment

    source = tmp_path / "in"
    source.mkdir()
    Image.fromarray(astronaut()).save(source / "person.png")
    Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save(source / "wall.png")
    crop = face_cropper(128, 64, Alignment(0.8, 0.08))
    report = make_dataset(str(source), str(tmp_path / "set.zip"), DatasetConfig(resolution=128, crop="faces"), crop)
    assert report.num_images == 1 and dict(report.rejects) == {"wall.png": "no face found"}
    face = ImageDataset(tmp_path / "set.zip").image(0).transpose(1, 2, 0)
    (found,) = detect_faces(np.ascontiguousarray(face))
    eyes, mouth = found.landmarks[:2].mean(0), found.landmarks[3:].mean(0)
    assert abs(eyes[0] - 64) < 8 and abs(mouth[0] - 64) < 8 and 40 < eyes[1] < mouth[1] < 105
    large = face_cropper(128, 4000, Alignment(0.8, 0.08))
    with pytest.raises(DatasetError, match="under 4000"):
        make_dataset(str(source), str(tmp_path / "none.zip"), DatasetConfig(resolution=128), large)
