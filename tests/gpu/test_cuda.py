"""What only a GPU can show: parity with the CPU, memory, 16 bit, compilation, training, one worker a GPU.

`make test-gpu`. With TEST_DEVICE=cpu the bodies run on the CPU, to see that they run at all."""

import copy
import os

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import cli
from inversion.config import InvertConfig, ProjectionConfig
from inversion.encoders.backbone import BackboneShape
from inversion.encoders.files import KINDS
from inversion.faces.judges import JUDGES
from inversion.invert import Inverter
from inversion.project import project
from inversion.scores import psnr
from stylegan_core.checkpoints.load import load_generator
from stylegan_core.features.perceptual import UNCALIBRATED, load_perceptual
from stylegan_core.images import Photo
from stylegan_core.networks.configs import StyleGAN2Config, StyleGAN3Config
from stylegan_core.networks.protocol import Alignment, CheckpointMeta
from stylegan_core.networks.stylegan2 import StyleGAN2Generator
from stylegan_core.networks.stylegan3 import StyleGAN3Generator
from stylegan_core.training.config import TrainConfig
from stylegan_core.training.loop import train

DEVICE = torch.device(os.environ.get("TEST_DEVICE", "cuda"))
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(DEVICE.type == "cuda" and not torch.cuda.is_available(), reason="no GPU here"),
]
ON_GPU = DEVICE.type == "cuda"
GENERATORS = {
    "stylegan2": (StyleGAN2Generator, StyleGAN2Config(img_resolution=64, channel_base=4096)),
    "stylegan3-t": (StyleGAN3Generator, StyleGAN3Config(img_resolution=64, channel_base=4096)),
    "stylegan3-r": (
        StyleGAN3Generator,
        StyleGAN3Config(img_resolution=64, channel_base=4096, conv_kernel=1, use_radial_filters=True),
    ),
}


@pytest.fixture(autouse=True)
def plain_float32():
    """Parity within float32 needs matrix products in float32, not TensorFloat-32."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def made(name):
    torch.manual_seed(0)
    kind, config = GENERATORS[name]
    generator = kind(config).eval().requires_grad_(False)
    generator.meta = CheckpointMeta(name, "test", name.ljust(64, "0"))
    return generator


def assert_within(found, expected, share):
    """`found` on the device differs from `expected` by at most `share` of its standard deviation (root mean square)."""
    error = (found.detach().float().cpu() - expected.detach().float()).square().mean().sqrt()
    assert error < share * expected.detach().float().std(), f"{float(error / expected.float().std()):.2e}"


@pytest.mark.parametrize("name", GENERATORS)
def test_renders_and_gradients_equal_the_cpu_s(name):
    here = made(name)
    there = copy.deepcopy(here).to(DEVICE)
    z = torch.randn(2, here.z_dim, generator=torch.Generator().manual_seed(1))
    ws = here.mapping(z)
    assert_within(there.mapping(z.to(DEVICE)), ws, 1e-5)
    images, gradients = [], []
    for generator in (here, there):
        codes = ws.to(generator.w_avg.device).clone().requires_grad_(True)
        image = generator.synthesis(codes)
        (gradient,) = torch.autograd.grad(image.square().mean(), codes)
        images.append(image)
        gradients.append(gradient)
    half = 2e-2 if ON_GPU else 1e-4  # blocks at high resolution run in 16 bit on a GPU, as NVIDIA's do
    assert_within(images[1], images[0], half)
    assert_within(gradients[1], gradients[0], 2 * half)


def test_features_judges_and_encoders_equal_the_cpu_s():
    faces = torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for name, judge in JUDGES.items():
        here, there = (judge.score(x, Alignment()) for x in (faces, faces.to(DEVICE)))
        assert (there.cpu() - here).abs().max() < 1e-3 * max(1.0, float(here.abs().max())), name
    here, there = (load_perceptual(UNCALIBRATED, device) for device in (torch.device("cpu"), DEVICE))
    for one, other in zip(there.features(faces.to(DEVICE)), here.features(faces), strict=True):
        assert_within(one, other, 1e-4)
    torch.manual_seed(0)
    shape = BackboneShape(stem=8, widths=(8, 12, 16, 24), units=(1, 1, 2, 1))
    network = KINDS["Encoder4Editing"].build(shape, 32, (4, 4, 4, 5, 5, 6)).eval()
    for name, parameter in network.named_parameters():
        torch.nn.init.normal_(parameter, std=0.1) if "linear" in name else None
    images = torch.rand(1, 3, 256, 256)
    with torch.no_grad():
        assert_within(copy.deepcopy(network).to(DEVICE)(images.to(DEVICE)), network(images), 1e-4)


def a_target(generator):
    z = torch.randn(1, generator.z_dim, generator=torch.Generator().manual_seed(3)).to(generator.w_avg.device)
    with torch.no_grad():
        return generator.synthesis(generator.mapping(z)).clamp(-1, 1)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_a_search_comes_as_close_in_16_bit_as_in_32(precision):
    generator = load_generator("faces256", DEVICE)
    target = a_target(generator)
    perceptual = load_perceptual(UNCALIBRATED, DEVICE)
    scores = {}
    for kind in {"float32", precision}:
        found = project(generator, target, perceptual, ProjectionConfig(steps=60, precision=kind, patience=0))
        assert found.ws.dtype == torch.float32 and bool(torch.isfinite(found.ws).all())
        with torch.no_grad():
            scores[kind] = float(psnr(generator.synthesis(found.ws).clamp(-1, 1), target))
    assert scores[precision] > scores["float32"] - 1.0, scores


def test_hybrid_and_tune_run_and_write_what_a_cpu_can_read(tmp_path):
    rgb = (a_target(load_generator("faces64"))[0].permute(1, 2, 0) * 127.5 + 127.5).numpy().astype(np.uint8)
    photo = Photo(rgb, tmp_path / "a.png", "0" * 64)
    for method, steps in (("hybrid", 10), ("tune", 10)):
        config = InvertConfig(generator="faces64", method=method, align=False, device=str(DEVICE))
        inverter = Inverter(config, ProjectionConfig(steps=steps))
        found = inverter.invert_face(photo, inverter.align(photo)[0])
        assert found.latent.ws.device.type == "cpu"
        assert found.image.device.type == DEVICE.type
        assert found.latent.report["scores"]["psnr"] > 15


@pytest.mark.parametrize(
    "command",
    [
        [
            "edit",
            "{photo}",
            "--transfer",
            "smile:0.8",
            "--no-align",
            "--steps",
            "5",
            "--paste",
            "full",
            "--out",
            "{out}",
        ],
        ["edit", "{photo}", "--transfer", "smile:auto", "--no-align", "--steps", "5", "--out", "{out}"],
        ["truncate", "{photo}", "--no-align", "--steps", "5", "--out", "{out}"],
        ["generate", "--seeds", "0-3", "--out", "{out}"],
        ["mix", "--row", "1", "--row", "2", "--column", "3", "--out", "{out}"],
        ["interpolate", "1", "2", "--frames", "4", "--out", "{out}"],
        ["encoder", "train", "--out", "{out}/e.safetensors", "--samples", "64", "--probes", "16", "--steps", "4"],
        ["directions", "factor", "sefa", "--name", "one", "--out", "{out}/one.npz"],
        ["scorecard", "--data", "{folder}", "--methods", "project:3", "--images", "2", "--out", "{out}"],
    ],
)
def test_every_command_takes_the_device(tmp_path, command):
    folder = tmp_path / "in"
    folder.mkdir()
    for seed in range(2):
        rgb = np.random.RandomState(seed).randint(0, 255, (64, 64, 3), np.uint8)
        Image.fromarray(rgb).save(folder / f"{seed}.png")
    words = {"photo": folder / "0.png", "out": tmp_path / "out", "folder": folder}
    arguments = [text.format(**words) for text in command]
    takes_device = command[:2] != ["directions", "factor"]
    arguments += ["--generator", "faces64", *(["--device", str(DEVICE)] if takes_device else [])]
    result = CliRunner().invoke(cli.main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output


def test_training_goes_on_and_is_finite(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    for seed in range(16):
        rgb = np.random.RandomState(seed).randint(0, 255, (32, 32, 3), np.uint8)
        Image.fromarray(rgb).save(folder / f"{seed}.png")
    out = tmp_path / "run"
    train(TrainConfig(data=str(folder), out=str(out), resolution=32, batch=8, kimg=1, device=str(DEVICE)))
    generator = load_generator(sorted(out.glob("*.safetensors"))[-1], DEVICE)
    images = generator.synthesis(generator.mapping(torch.randn(4, generator.z_dim, device=DEVICE)))
    assert bool(torch.isfinite(images).all())


@pytest.mark.skipif(not ON_GPU, reason="a GPU's allocator is asked")
def test_a_search_at_1024_px_stays_within_its_memory():
    torch.manual_seed(0)
    generator = StyleGAN2Generator(StyleGAN2Config(img_resolution=1024)).eval().requires_grad_(False).to(DEVICE)
    generator.meta = CheckpointMeta("big", "test", "b" * 64)
    perceptual = load_perceptual(UNCALIBRATED, DEVICE)
    torch.cuda.reset_peak_memory_stats()
    project(generator, a_target(generator), perceptual, ProjectionConfig(steps=3))
    assert torch.cuda.max_memory_allocated() < 4 << 30


@pytest.mark.skipif(not ON_GPU, reason="a GPU's allocator is asked")
def test_out_of_memory_is_one_sentence(tmp_path):
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / "a.png")
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1e-4)
    try:
        command = ["invert", str(tmp_path / "a.png"), "--no-align", "--generator", "faces256", "--device", "cuda"]
        result = CliRunner().invoke(cli.main, [*command, "--out", str(tmp_path / "out")])
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert result.exit_code == 1
    assert "out of memory" in result.output and "--batch" in result.output and "Traceback" not in result.output


@pytest.mark.skipif(not ON_GPU, reason="compilation pays on a GPU")
def test_a_compiled_generator_renders_the_same():
    generator = made("stylegan2").to(DEVICE)
    ws = generator.mapping(torch.randn(1, generator.z_dim, device=DEVICE))
    compiled = torch.compile(generator.synthesis)
    assert_within(compiled(ws), generator.synthesis(ws).cpu(), 2e-2)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="two GPUs are needed")
def test_a_batch_uses_every_gpu(tmp_path):
    for seed in range(4):
        Image.fromarray(np.full((64, 64, 3), seed, np.uint8)).save(tmp_path / f"{seed}.png")
    recipe = tmp_path / "r.toml"
    recipe.write_text('[invert]\nsteps = 2\nalign = false\ngenerator = "faces64"\ndevice = "cuda"\n')
    command = ["batch", str(tmp_path), "--recipe", str(recipe), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(cli.main, command, catch_exceptions=False)
    assert result.exit_code == 0 and "4 done" in result.output
