import dataclasses
import json
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from stylegan_core.networks import configs
from stylegan_core.training.config import TrainConfig


def picture(index, side=16, channels=3):
    rng = np.random.RandomState(index)
    small = rng.randint(0, 256, (4, 4, channels), dtype=np.uint8).squeeze()
    return Image.fromarray(small).resize((side, side), Image.Resampling.BILINEAR)


@pytest.fixture(autouse=True)
def one_thread():
    """Networks this small are slowed down by more, and badly where other programs run beside the tests."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def folder(tmp_path):
    """A folder of 12 pictures of 16 pixels in two classes."""
    path = tmp_path / "pictures"
    path.mkdir()
    for index in range(12):
        picture(index).save(path / f"img{index:02d}.png")
    labels = [[f"img{index:02d}.png", index % 2] for index in range(12)]
    (path / "dataset.json").write_text(json.dumps({"labels": labels}))
    return path


@pytest.fixture
def archive(folder, tmp_path):
    """The same as a zip."""
    path = tmp_path / "pictures.zip"
    with zipfile.ZipFile(path, "w") as file:
        for part in sorted(folder.iterdir()):
            file.write(part, f"00000/{part.name}" if part.suffix == ".png" else part.name)
    return path


@pytest.fixture
def tiny(folder, tmp_path, monkeypatch):
    """A run of a tiny StyleGAN2 that visits every kind of step within a few steps."""
    preset = configs.StyleGAN2Config(
        z_dim=8, w_dim=8, img_resolution=16, mapping_layers=2, channel_base=128, channel_max=8
    )
    monkeypatch.setitem(configs.PRESETS, "tiny", preset)
    return TrainConfig(
        data=str(folder),
        out=str(tmp_path / "run"),
        preset="tiny",
        kimg=0.048,
        batch=8,
        device="cpu",
        r1_every=2,
        pl_every=2,
        ema_kimg=0.02,
        augment_p=0.3,
        ada_kimg=1.0,
        snapshot_kimg=0.024,
    )


@pytest.fixture
def change():
    return dataclasses.replace
