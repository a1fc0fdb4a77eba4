import json
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from stylegan_core.errors import DatasetError
from stylegan_core.training.dataset import DataOrder, ImageDataset


def test_folder_and_zip_hold_the_same_images_and_labels(folder, archive, tmp_path):
    with zipfile.ZipFile(archive) as file:
        table = json.loads(file.read("dataset.json"))
    table["labels"] = [[f"00000/{name}", label] for name, label in table["labels"]]
    renamed = tmp_path / "renamed.zip"
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(renamed, "w") as new:
        for name in old.namelist():
            new.writestr(name, json.dumps(table) if name == "dataset.json" else old.read(name))
    one, other = ImageDataset(folder, labels=True), ImageDataset(renamed, labels=True)
    assert len(one) == len(other) == 12 and one.c_dim == 2
    for index in range(12):
        assert np.array_equal(one.image(index), other.image(index))
        assert one.label(index).tolist() == other.label(index).tolist() == np.eye(2)[index % 2].tolist()


def test_batches_are_the_files_pixels_in_the_range_of_networks(folder):
    images, labels = ImageDataset(folder).batch([3, 3, 0])
    with Image.open(folder / "img03.png") as image:
        expected = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1) / 127.5 - 1
    torch.testing.assert_close(images[0], expected)
    torch.testing.assert_close(images[0], images[1])
    assert labels.shape == (3, 0) and images.min() >= -1 and images.max() <= 1


def test_mirroring_doubles_the_set(folder):
    data = ImageDataset(folder, mirror=True)
    assert len(data) == 24 and data.num_images == 12
    assert np.array_equal(data.image(12 + 5), data.image(5)[:, :, ::-1])


def test_shrinking_averages_pixels(folder):
    small, large = ImageDataset(folder, resolution=8), ImageDataset(folder)
    blocks = large.image(2).astype(float).reshape(3, 8, 2, 8, 2).mean((2, 4))
    assert np.abs(small.image(2) - blocks).max() <= 1


def test_a_full_cache_changes_nothing(folder):
    cached, bare = ImageDataset(folder), ImageDataset(folder, cache_mb=0)
    for _ in range(2):
        assert torch.equal(cached.batch([1, 4, 1])[0], bare.batch([1, 4, 1])[0])


def test_grey_images_keep_one_channel(tmp_path):
    for index in range(3):
        Image.fromarray(np.full((8, 8), 40 * index, np.uint8)).save(tmp_path / f"{index}.png")
    data = ImageDataset(tmp_path)
    assert data.channels == 1 and data.image(2).shape == (1, 8, 8) and data.image(2).max() == 80


def test_order_shows_every_image_once_a_round_and_differs_by_round_and_seed():
    order = DataOrder(10, seed=1)
    rounds = [order.indices(10 * k, 10) for k in range(3)]
    assert all(sorted(each) == list(range(10)) for each in rounds)
    assert rounds[0] != rounds[1] != rounds[2]
    assert DataOrder(10, seed=2).indices(0, 10) != rounds[0]
    assert order.indices(7, 8) == rounds[0][7:] + rounds[1][:5]


def test_vector_labels_are_kept(folder):
    labels = [[f"img{index:02d}.png", [0.5, index]] for index in range(12)]
    (folder / "dataset.json").write_text(json.dumps({"labels": labels}))
    data = ImageDataset(folder, labels=True)
    assert data.c_dim == 2 and data.label(7).tolist() == [0.5, 7.0]


def test_what_is_no_data_set_is_named(tmp_path):
    with pytest.raises(DatasetError, match="no such folder or zip"):
        ImageDataset(tmp_path / "nosuch")
    with pytest.raises(DatasetError, match="no images in it"):
        ImageDataset(tmp_path)
    (tmp_path / "text.zip").write_text("no zip at all")
    with pytest.raises(DatasetError, match="neither a folder nor a zip"):
        ImageDataset(tmp_path / "text.zip")


def test_mixed_sizes_are_named(folder):
    Image.new("RGB", (16, 20)).save(folder / "img05.png")
    data = ImageDataset(folder)
    with pytest.raises(DatasetError, match=r"img05\.png: 16x20 pixels, expected 16x16"):
        data.image(5)


def test_sizes_that_cannot_be_trained_are_named(folder, tmp_path):
    with pytest.raises(DatasetError, match="images are 16 pixels; training at 32"):
        ImageDataset(folder, resolution=32)
    odd = tmp_path / "odd"
    odd.mkdir()
    Image.new("RGB", (12, 12)).save(odd / "a.png")
    with pytest.raises(DatasetError, match="no power of two"):
        ImageDataset(odd)
    Image.new("RGB", (12, 14)).save(odd / "a.png")
    with pytest.raises(DatasetError, match="12x14 pixels, expected square"):
        ImageDataset(odd)


def test_corrupt_images_are_named(folder):
    whole = (folder / "img03.png").read_bytes()
    (folder / "img03.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DatasetError, match=r"img03\.png: not a readable image"):
        ImageDataset(folder).image(3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"labels": [["img00.png", 0]]}', "no label for 11 of 12"),
        ('{"labels": null}', "are null"),
        ('{"labels": 7}', "not understood"),
        ("not json", "not understood"),
        (json.dumps({"labels": [[f"img{i:02d}.png", [1.0] * (1 + i % 2)] for i in range(12)]}), "same length"),
        (json.dumps({"labels": [[f"img{i:02d}.png", -i] for i in range(12)]}), "class numbers from 0"),
        (json.dumps({"labels": [[f"img{i:02d}.png", 10**9] for i in range(12)]}), "number the classes"),
    ],
)
def test_label_files_that_do_not_fit_are_named(folder, text, message):
    (folder / "dataset.json").write_text(text)
    with pytest.raises(DatasetError, match=message):
        ImageDataset(folder, labels=True)


def test_labels_without_a_file_are_refused(folder):
    (folder / "dataset.json").unlink()
    with pytest.raises(DatasetError, match=r"no dataset\.json"):
        ImageDataset(folder, labels=True)
