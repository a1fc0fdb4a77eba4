"""Training a generator and its encoder together: it learns, stops and goes on, and its crops are those of the image."""

import csv

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from inversion.config import CotrainConfig, EncoderConfig
from inversion.cotrain import ENCODER_FILE, Faces, _Cotraining, corners, cotrain
from inversion.encoder import find_encoder
from inversion.train_encoder import train_encoder
from stylegan_core.checkpoints.load import load_generator
from stylegan_core.checkpoints.native import Description, save_generator
from stylegan_core.console import Console
from stylegan_core.errors import ConfigError, DatasetError
from stylegan_core.networks.build import build_network
from stylegan_core.networks.configs import StyleGAN2Config
from stylegan_core.networks.crops import render_with_crops
from stylegan_core.networks.patch import PatchDiscriminator
from stylegan_core.ops.resample import resized
from stylegan_core.training.grow import widen

SMALL = StyleGAN2Config(
    z_dim=8, w_dim=8, img_resolution=32, mapping_layers=2, channels=(8, 8, 8, 8), use_noise=False
)  # fmt: skip


def write_faces(folder, side, num, source):
    folder.mkdir()
    stream = np.random.default_rng(side)
    rows = []
    for index in range(num):
        coarse = stream.integers(0, 255, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC).save(folder / f"{index}.png")
        rows.append({"file": f"{index}.png", "source": source, "person": "007" if index == 0 else ""})
    with (folder / "attributes.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["file", "source", "person"])
        writer.writeheader()
        writer.writerows(rows)
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cotrain")
    torch.manual_seed(0)
    save_generator(folder / "small.safetensors", build_network(SMALL), Description(licence="none"))
    write_faces(folder / "large", 64, 6, "big")
    write_faces(folder / "little", 32, 4, "small")
    return folder


def config(place, **changes):
    values = {"data": f"{place / 'large'},{place / 'little'}", "steps": 4, "batch": 4, "holdout": 0, "critic_from": 0.4}
    return CotrainConfig(**(values | changes))


def run(place, out, **changes):
    cotrain(str(out), str(place / "small.safetensors"), "cpu", config(place, **changes), Console(quiet=True))
    return out


def test_crops_are_those_of_the_whole_image():
    torch.manual_seed(1)
    generator = build_network(SMALL).eval()
    ws = generator.mapping(torch.randn(2, 8))
    whole = generator.synthesis(ws, noise_mode="const")
    half, crops = render_with_crops(generator, ws, [(4, 6), (2, 3)], 8)
    assert half.shape == (2, 3, 16, 16)
    # A crop's rim knows no more of its surroundings than the margin holds; inside of the image nothing is missing.
    for index, (y, x) in enumerate([(4, 6), (2, 3)]):
        inner = whole[index, :, 2 * y : 2 * y + 16, 2 * x : 2 * x + 16]
        assert_close(crops[index, :, 4:-4, 4:-4], inner[:, 4:-4, 4:-4], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("channels", [(8, 8, 8, 8), (12, 9, 8, 10), (8, 8, 8, 8, 4)])
def test_a_widened_generator_draws_what_it_drew(channels):
    torch.manual_seed(2)
    generator = build_network(SMALL).eval()
    wide = widen(generator, channels).eval()
    ws = generator.mapping(torch.randn(2, 8))
    longer = torch.cat([ws, ws[:, -1:].expand(-1, wide.num_ws - ws.shape[1], -1)], dim=1)
    drawn = wide.synthesis(longer, noise_mode="const")
    if drawn.shape[-1] > 32:
        drawn, _ = render_with_crops(wide, longer, [], 8)
    assert_close(drawn, generator.synthesis(ws, noise_mode="const"), rtol=1e-4, atol=1e-4)


def test_narrower_channels_are_refused():
    with pytest.raises(ConfigError, match="fewer than the generator's"):
        widen(build_network(SMALL), (8, 8, 4, 8))


def test_it_learns_and_the_files_fit_each_other(place, tmp_path):
    start = load_generator(place / "small.safetensors")
    faces = Faces(config(place), 64)
    training = _Cotraining(start, faces, config(place, steps=40, lr=1e-2, critic_from=1.0), torch.device("cpu"))
    losses = [training.step(step) for step in range(40)]
    assert np.mean(losses[-8:]) < 0.8 * np.mean(losses[:8])
    assert float(training.found.abs().max()) > 0
    out = run(place, tmp_path / "out", name="faces")
    generator = load_generator(out / "faces.safetensors")
    assert generator.img_resolution == 64
    encoder = find_encoder(generator, str(out / ENCODER_FILE))
    assert encoder is not None and encoder.network.shape.num_ws == generator.num_ws
    assert not list(out.glob(".*"))


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(place, tmp_path, monkeypatch):
    whole = run(place, tmp_path / "whole")
    ordinary, calls = _Cotraining.step, []

    def interrupted(self, step):
        calls.append(step)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return ordinary(self, step)

    monkeypatch.setattr("inversion.state.SAVE_EVERY", 0.0)
    monkeypatch.setattr(_Cotraining, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(place, tmp_path / "parts")
    run(place, tmp_path / "parts")
    assert calls == [0, 1, 2, 2, 3]
    one, two = (load_generator(folder / "generator.safetensors") for folder in (whole, tmp_path / "parts"))
    for name, tensor in one.state_dict().items():
        assert_close(two.state_dict()[name], tensor)


def test_faces_are_left_out_and_weighed(place):
    faces = Faces(config(place, exclude="007", holdout=3, weights="big=2,small=0.5"), 64)
    assert faces.entries == [(0, 1), (0, 3), (0, 4), (1, 1), (1, 3)]
    assert faces.weights.tolist() == [2, 2, 2, 0.5, 0.5]
    picked = faces.pick(6, torch.Generator().manual_seed(0))
    assert len(picked.images) == 6 and picked.images.shape[-1] == 32
    assert all(faces.entries[entry][0] == 0 for entry in picked.entries[: len(picked.large)])


def test_crops_lie_inside_of_the_image():
    places = corners(200, 32, torch.Generator().manual_seed(0))
    assert all(0 <= y <= 16 and 0 <= x <= 16 for y, x in places) and len(set(places)) > 20


def test_the_adversary_tells_texture():
    torch.manual_seed(0)
    critic = PatchDiscriminator(3, 8)
    assert critic(torch.randn(2, 3, 64, 64)).shape == (2, 1, 8, 8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"data": ""}, "names no images"), ({"channels": "8,x"}, "no list of numbers"), ({"weights": "big"}, "no weight")],
)
def test_options_that_make_no_sense_are_refused(place, tmp_path, changes, message):
    with pytest.raises((ConfigError, DatasetError), match=message):
        run(place, tmp_path / "out", **changes)


def test_seeds_may_follow_the_codes_of_the_faces_and_the_curvature_joins_the_encoder(place, tmp_path):
    out = run(place, tmp_path / "out", fit_mapping=True)
    path = out / "generator.safetensors"
    generator = load_generator(path)
    known = find_encoder(generator, str(out / ENCODER_FILE))
    faces = Faces(config(place), 64)
    images = torch.cat([resized(faces.sets[which].batch([index])[0], 32) for which, index in faces.entries])
    large = torch.nn.functional.interpolate(images, scale_factor=2.0)
    codes = known.guess_w(resized(large, 32))
    assert_close(codes.mean(0), generator.w_avg, rtol=0.05, atol=0.05)  # files are 16 bit
    probed = str(tmp_path / "probed.safetensors")
    options = EncoderConfig(network=str(out / ENCODER_FILE), probes=64)
    train_encoder(probed, str(path), "squeeze-uncalibrated", "cpu", options, Console(quiet=True))
    joined = find_encoder(generator, probed)
    assert joined.curvature and not known.curvature
    assert_close(joined.guess_ws(large), known.guess_ws(large))
