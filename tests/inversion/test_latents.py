import io
import json
import pickle
import zipfile

import numpy as np
import pytest
import torch

from inversion.latents import Latent, check_generator, load_latent, save_latent
from stylegan_core.errors import LatentError, LatentMismatchError
from stylegan_core.npz import read_npz


def a_latent(**changes):
    ws = torch.randn(1, 4, 12)
    values = dict(
        ws=ws, origin=ws + 1, noise={"b8.conv0": torch.randn(8, 8)}, generator="f" * 64, space="w",
        quad=np.arange(8.0).reshape(4, 2), photo_sha256="ab", report={"a": [1, "ü"]},
    )  # fmt: skip
    return Latent(**{**values, **changes})


def test_save_then_load_is_bit_equal(tmp_path):
    latent = a_latent()
    save_latent(tmp_path / "x.npz", latent)
    loaded = load_latent(tmp_path / "x.npz")
    assert torch.equal(loaded.ws, latent.ws)
    assert torch.equal(loaded.origin, latent.origin)
    assert torch.equal(loaded.noise["b8.conv0"], latent.noise["b8.conv0"])
    assert (loaded.quad == latent.quad).all()
    assert (loaded.generator, loaded.space, loaded.photo_sha256) == (latent.generator, "w", "ab")
    assert loaded.report == latent.report


def test_numpy_reads_w_without_pickle(tmp_path):
    latent = a_latent()
    save_latent(tmp_path / "x.npz", latent)
    with np.load(tmp_path / "x.npz", allow_pickle=False) as arrays:
        assert arrays["w"].shape == (1, 4, 12)
        assert arrays["w"].dtype == np.float32


def test_nvidia_s_projected_w_is_read(tmp_path):
    np.savez(tmp_path / "projected_w.npz", w=np.ones((1, 4, 12), np.float32))
    loaded = load_latent(tmp_path / "projected_w.npz")
    assert loaded.generator == ""
    assert torch.equal(loaded.ws, loaded.origin)


class Bomb:
    def __reduce__(self):
        return (exec, ("raise SystemExit('executed')",))


def npz_with(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)


def npy_header(shape, descr="<f4"):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": descr, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def test_an_npz_that_hides_a_pickle_is_refused_unopened(tmp_path):
    npz_with(tmp_path / "x.npz", w=npy_header((1,), "|O") + pickle.dumps(Bomb()))
    with pytest.raises(LatentError, match="hides a pickle"):
        load_latent(tmp_path / "x.npz")


def test_a_header_that_claims_more_than_the_file_holds_is_refused_before_memory_is_taken(tmp_path):
    npz_with(tmp_path / "x.npz", w=npy_header((1, 40_000_000, 512)) + b"1234")
    with pytest.raises(LatentError, match="shorter"):
        load_latent(tmp_path / "x.npz")


def test_a_zip_bomb_is_refused(tmp_path):
    npz_with(tmp_path / "x.npz", w=npy_header((1, 20_000, 512)) + bytes(20_000 * 512 * 4))
    assert (tmp_path / "x.npz").stat().st_size < 100_000
    with pytest.raises(LatentError, match="unpacked"):
        read_npz(tmp_path / "x.npz", max_bytes=1 << 20)


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"v": np.ones(3)}, "no array 'w'"),
        ({"w": np.full((1, 4, 12), np.nan, np.float32)}, "NaN"),
        ({"w": np.ones((2, 4, 12), np.float32)}, "expected float"),
        ({"w": np.ones((1, 4, 12), np.int64)}, "expected float"),
        ({"w": np.ones((1, 4, 12), np.float32), "quad": np.ones((3, 2))}, "corners"),
        ({"w": np.ones((1, 4, 12), np.float32), "report": np.array("{")}, "not JSON"),
        ({"w": np.ones((1, 4, 12), np.float32), "noise.x": np.ones(3)}, "finite map"),
    ],
)
def test_damaged_latents_are_refused_by_name(tmp_path, arrays, reason):
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(LatentError, match=reason) as caught:
        load_latent(tmp_path / "bad.npz")
    assert "bad.npz" in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 not a zip", b"\x93NUMPY", json.dumps({}).encode()])
def test_files_that_are_no_npz_are_refused(tmp_path, data):
    (tmp_path / "x.npz").write_bytes(data)
    with pytest.raises(LatentError, match="npz"):
        load_latent(tmp_path / "x.npz")


def test_a_latent_of_another_generator_is_refused_with_both_named(linear_generator):
    latent = a_latent(generator="a" * 64, noise={}, report={"generator": "theirs"})
    with pytest.raises(LatentMismatchError, match=r"theirs \(aaaa.*linear \(ffff"):
        check_generator(latent, linear_generator, "x.npz")
    check_generator(a_latent(noise={}), linear_generator, "x.npz")


def test_a_latent_without_fingerprint_is_judged_by_its_shape(linear_generator):
    ws = torch.zeros(1, 18, 512)
    with pytest.raises(LatentMismatchError, match="18 layers"):
        check_generator(Latent(ws, ws), linear_generator, "x.npz")
