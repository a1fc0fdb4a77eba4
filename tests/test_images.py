import io
import os
import stat

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from stylegan_core.errors import ConfigError, ImageError, OutputError
from stylegan_core.files import write_atomic
from stylegan_core.images import read_photo, to_tensor, to_uint8, write_png
from stylegan_core.seed_numbers import parse_seeds
from stylegan_core.seeds import generator_for, latents_from_seeds

RGB = np.random.RandomState(0).randint(0, 256, (20, 30, 3)).astype(np.uint8)


def saved(tmp_path, image, name="x.png", **options):
    image.save(tmp_path / name, **options)
    return tmp_path / name


def test_uint8_to_tensor_and_back_is_the_identity():
    assert (to_uint8(to_tensor(RGB))[0] == RGB).all()
    assert_close(to_tensor(np.array([[[0, 255, 51]]], np.uint8)).flatten(), torch.tensor([-1.0, 1.0, -0.6]))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(tmp_path, orientation):
    turned = {
        1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1), 6: lambda a: np.rot90(a, 1), 7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: lambda a: np.rot90(a, -1),
    }[orientation](RGB)  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path, Image.fromarray(np.ascontiguousarray(turned)), exif=exif)
    assert (read_photo(path).rgb == RGB).all()


def test_rgba_keeps_its_alpha_apart(tmp_path):
    alpha = np.arange(600, dtype=np.uint16).reshape(20, 30).astype(np.uint8)
    photo = read_photo(saved(tmp_path, Image.fromarray(np.dstack([RGB, alpha]))))
    assert (photo.rgb == RGB).all()
    assert (photo.alpha == alpha).all()


def test_grayscale_cmyk_palette_and_16_bit_become_8_bit_rgb(tmp_path):
    gray = RGB[..., 0]
    photo = read_photo(saved(tmp_path, Image.fromarray(gray)))
    assert photo.grayscale
    assert (photo.rgb == gray[..., None]).all()
    cmyk = read_photo(saved(tmp_path, Image.fromarray(RGB).convert("CMYK"), "c.jpg", quality=100))
    assert cmyk.rgb.shape == RGB.shape
    palette = read_photo(saved(tmp_path, Image.fromarray(RGB).quantize(256), "p.png"))
    assert palette.rgb.shape == RGB.shape
    deep = (gray.astype(np.uint16) << 8) + gray
    photo = read_photo(saved(tmp_path, Image.fromarray(deep), "deep.png"))
    assert (photo.rgb == gray[..., None]).all()


@pytest.mark.parametrize("data", [b"hello", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n" + bytes(30)])
def test_what_is_no_image_is_refused_by_name(tmp_path, data):
    (tmp_path / "bad.jpg").write_bytes(data)
    with pytest.raises(ImageError, match=r"bad\.jpg: not a readable image"):
        read_photo(tmp_path / "bad.jpg")


def test_a_truncated_jpeg_is_refused(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(RGB.repeat(20, 0).repeat(20, 1)).save(buffer, "JPEG")
    (tmp_path / "cut.jpg").write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    with pytest.raises(ImageError, match="cut short after"):
        read_photo(tmp_path / "cut.jpg")


def test_photos_of_1_pixel_and_of_400_million_are_refused(tmp_path):
    with pytest.raises(ImageError, match="1x1"):
        read_photo(saved(tmp_path, Image.new("RGB", (1, 1))))
    with pytest.raises(ImageError, match="pixels that are read"):
        read_photo(saved(tmp_path, Image.new("1", (20_000, 20_000)), "big.png"))
    wide = read_photo(saved(tmp_path, Image.new("RGB", (20_000, 40)), "wide.png"))
    assert wide.rgb.shape == (40, 20_000, 3)


def test_missing_files_folders_and_odd_names_are_refused(tmp_path):
    with pytest.raises(ImageError, match="no such file"):
        read_photo(tmp_path / "nothing.jpg")
    with pytest.raises(ImageError, match="a folder; `invertigo batch"):
        read_photo(tmp_path)
    with pytest.raises(ImageError):
        read_photo("a\0b.jpg")


def test_an_edited_picture_says_so_in_its_metadata(tmp_path):
    write_png(tmp_path / "x.png", RGB, "Edited by a test")
    with Image.open(tmp_path / "x.png") as image:
        assert image.info["Description"] == "Edited by a test"
        assert "compositeWithTrainedAlgorithmicMedia" in image.info["XML:com.adobe.xmp"]
        assert (np.asarray(image) == RGB).all()


def test_a_failed_write_leaves_the_old_file_and_no_temporary_one(tmp_path):
    (tmp_path / "x.bin").write_bytes(b"old")

    def fail(file):
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="No space left"):
        write_atomic(tmp_path / "x.bin", fail)
    assert (tmp_path / "x.bin").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["x.bin"]


def test_written_files_have_ordinary_permissions(tmp_path):
    write_atomic(tmp_path / "sub" / "x.bin", lambda file: file.write(b"new"))
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((tmp_path / "sub" / "x.bin").stat().st_mode) == 0o666 & ~umask


def test_a_place_that_is_a_file_cannot_be_a_folder(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError, match="cannot be written"):
        write_png(tmp_path / "out" / "x.png", RGB)


def test_the_same_seed_gives_the_same_latent_whatever_its_neighbours():
    assert torch.equal(latents_from_seeds([7, 3], 16)[1:], latents_from_seeds([3], 16))
    expected = np.random.RandomState(3).randn(1, 16).astype(np.float32)  # as NVIDIA's generate.py draws it
    assert (latents_from_seeds([3], 16).numpy() == expected).all()
    draws = [torch.randn(4, generator=generator_for(1, index)) for index in (0, 1, 0)]
    assert torch.equal(draws[0], draws[2])
    assert not torch.equal(draws[0], draws[1])


def test_seed_ranges_are_read_and_nonsense_is_refused():
    assert parse_seeds("0-3, 9") == [0, 1, 2, 3, 9]
    for text in ("", "a", "3-1", "-1", "1-", "0-99999999", "5000000000"):
        with pytest.raises(ConfigError):
            parse_seeds(text)
