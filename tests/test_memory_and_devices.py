"""Memory that runs out is one sentence; and no part mixes devices, seen on the meta device where there is no GPU."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import cli
from inversion.encoders.backbone import BackboneShape
from inversion.encoders.files import KINDS
from inversion.objective import InversionObjective, LossWeights
from stylegan_core.devices import fitting_threads
from stylegan_core.errors import CheckpointError, ran_out_of_memory, sentence_of
from stylegan_core.features.perceptual import UNCALIBRATED, load_perceptual
from stylegan_core.networks.build import build_network
from stylegan_core.networks.configs import StyleGAN2Config

GPU = torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 8 GiB")
CPU = RuntimeError("[enforce fail at alloc_cpu.cpp:75] err == 0. DefaultCPUAllocator: can't allocate memory: you tried")


@pytest.mark.parametrize("error", [GPU, CPU, MemoryError(), MemoryError("Unable to allocate 9 GiB")])
def test_memory_that_runs_out_says_what_to_lower(error):
    assert ran_out_of_memory(error)
    text = sentence_of(error)
    assert text.startswith("out of memory") and "--batch" in text and "--device cpu" in text and "\n" not in text
    assert ("2.00 GiB more were needed" in text) == (error is GPU)


def test_other_failures_stay_what_they_are():
    assert sentence_of(CheckpointError("a file")) == "a file"
    assert sentence_of(RuntimeError("a bug")) == "unexpected RuntimeError: a bug"
    assert not ran_out_of_memory(CheckpointError("the header says out of memory"))


def test_training_on_a_cpu_keeps_large_blocks_where_the_c_library_can(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr("stylegan_core.training.loop.train", lambda config: SimpleNamespace(lines=[]))
    monkeypatch.setattr(
        "ctypes.CDLL", lambda name: SimpleNamespace(mallopt=lambda option, value: calls.append((option, value)))
    )
    (tmp_path / "a.png").write_bytes(b"a picture that nothing opens here")
    arguments = ["train", "--data", str(tmp_path), "--out", str(tmp_path / "run"), "--device", "cpu"]
    assert CliRunner().invoke(cli.main, arguments).exit_code == 0
    assert (-4, 0) in calls and dict(calls)[-1] > 2**30  # no block of its own by mmap; the heap's end is not given back
    monkeypatch.setattr("ctypes.CDLL", lambda name: SimpleNamespace())  # another C library
    assert CliRunner().invoke(cli.main, arguments).exit_code == 0


def test_searching_keeps_large_blocks_too_and_reading_a_library_does_not(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(
        "ctypes.CDLL", lambda name: SimpleNamespace(mallopt=lambda option, value: calls.append((option, value)))
    )
    Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save(tmp_path / "a.png")
    with fitting_threads(64):
        assert not calls
    arguments = ["invert", str(tmp_path / "a.png"), "--no-align", "--steps", "0", "--out", str(tmp_path / "o")]
    assert CliRunner().invoke(cli.main, arguments).exit_code == 0
    assert (-4, 0) in calls


def test_a_command_that_runs_out_of_memory_says_so_and_goes_on_with_the_next_photo(tmp_path, monkeypatch):
    from inversion.invert import Inverter

    whole = Inverter.invert_faces
    for name in "ab":
        Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / f"{name}.png")

    def limited(self, faces, *args, **kwargs):
        if faces[0][0].path.stem == "a":
            raise GPU
        return whole(self, faces, *args, **kwargs)

    monkeypatch.setattr(Inverter, "invert_faces", limited)
    command = ["invert", str(tmp_path / "a.png"), str(tmp_path / "b.png"), "--no-align", "--steps", "0"]
    result = CliRunner().invoke(cli.main, [*command, "--generator", "faces64", "--out", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert "a.png: out of memory (2.00 GiB more were needed)" in result.output
    assert (tmp_path / "out/b/face0/latent.npz").is_file() and not (tmp_path / "out/a").exists()


def test_loading_that_runs_out_of_memory_is_a_sentence_too(monkeypatch):
    def full(*args):
        raise GPU

    monkeypatch.setattr("stylegan_core.checkpoints.load.load_checkpoint", full)
    result = CliRunner().invoke(cli.main, ["generate", "--generator", "faces64"])
    assert result.exit_code == 1 and "error: out of memory" in result.output and "--debug" not in result.output


SMALL = {"z_dim": 16, "w_dim": 16, "img_resolution": 16, "channel_base": 256, "channel_max": 16}


@pytest.mark.parametrize("config", [StyleGAN2Config(**SMALL), StyleGAN2Config(**SMALL, architecture="resnet")])
def test_generators_objective_and_gradient_mix_no_devices(config):
    """Tensors made on the CPU by mistake meet those on meta, which torch refuses as it does on a GPU."""
    generator = build_network(config).requires_grad_(False).to("meta")
    perceptual = load_perceptual(UNCALIBRATED, torch.device("cpu")).to("meta")
    ws = generator.mapping(torch.empty(2, 16, device="meta"), truncation_psi=0.7).detach().requires_grad_(True)
    objective = InversionObjective(
        generator.synthesis, LossWeights(1, 1, 0, 1, 0), perceptual, torch.empty(16, device="meta")
    )
    target = objective.target(torch.empty(2, 3, 64, 64, device="meta"))
    images = torch.nn.functional.interpolate(generator.synthesis(ws), size=64)
    terms = objective.compare(images, target) | objective.regularise(ws)
    (gradient,) = torch.autograd.grad(torch.stack(list(terms.values())).sum(), ws)
    assert (gradient.device.type, gradient.shape) == ("meta", ws.shape)


@pytest.mark.parametrize("kind", KINDS)
def test_encoders_mix_no_devices(kind):
    channels = 6 if KINDS[kind].iterative else 3
    shape = BackboneShape(channels, 3, (4, 5, 6, 7), (1, 1, 1, 1))
    network = KINDS[kind].build(shape, 8, (4, 4, 4) if KINDS[kind].iterative else (4, 5, 6)).to("meta").eval()
    found = network(torch.empty(2, channels, 256, 256, device="meta"))
    assert found.device.type == "meta" and found.shape[0] == 2 and found.shape[2] == 8
