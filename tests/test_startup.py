"""What short commands import: packages that cost as much as their work stay out (ratios: benchmarks/startup.py)."""

import gc
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from inversion.latents import Latent, save_latent
from invertigo.start import spare_imports

ROOT = Path(__file__).resolve().parent.parent
CODE = """
import json, sys
import torch
before = set(sys.modules)
import cli
from click.testing import CliRunner
photo, latent, out = sys.argv[1:]
found = {}
for words in (
    ["info", latent],
    ["generate", "--seeds", "0", "--out", out],
    ["invert", photo, "--steps", "0", "--out", out],
    ["edit", f"{out}/astronaut/face0/latent.npz", "--transfer", "smile", "--out", out],
):
    result = CliRunner().invoke(cli.main, words)
    assert result.exit_code == 0, result.output
    found[words[0]] = sorted(set(sys.modules) - before)
json.dump(found, sys.stdout)
"""
HEAVY = {
    "torchvision", "lpips", "facenet_pytorch", "scipy", "skimage", "sklearn", "cv2", "gradio", "pandas", "matplotlib",
    "torch._dynamo", "torch._inductor", "huggingface_hub", "c2pa", "torch_fidelity", "tensorboard", "ray",
}  # fmt: skip


@pytest.fixture(scope="module")
def imported(astronaut_file, tmp_path_factory) -> dict[str, list[str]]:
    """The modules beyond `import torch` that were there after each command, one after the other in one process."""
    folder = tmp_path_factory.mktemp("startup")
    save_latent(folder / "latent.npz", Latent(ws=torch.zeros(1, 4, 8), origin=torch.zeros(1, 4, 8)))
    command = [sys.executable, "-c", CODE, str(astronaut_file), str(folder / "latent.npz"), str(folder / "out")]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.parametrize("command", ["info", "generate", "invert", "edit"])
def test_short_commands_import_no_heavy_package(imported, command) -> None:
    assert sorted(HEAVY & set(imported[command])) == []


def test_info_of_a_latent_imports_no_network(imported) -> None:
    ours = {"stylegan_core.networks.stylegan2", "stylegan_core.checkpoints.load", "inversion.invert"}
    assert sorted(ours & set(imported["info"])) == []


def test_garbage_is_looked_for_as_usual_once_the_imports_are_over() -> None:
    usual = gc.get_threshold()
    spare_imports()
    assert gc.get_threshold()[0] > 100 * usual[0]
    gc.collect()
    assert gc.get_threshold() == usual
