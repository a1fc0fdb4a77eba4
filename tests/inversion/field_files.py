"""Makers of encoder files as pSp, e4e and ReStyle publish them: small ones, and weights of the true shapes by rule."""

import argparse
import zlib

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from inversion.encoders.backbone import BackboneShape
from inversion.encoders.files import KINDS
from stylegan_core.checkpoints.convert import to_rosinality
from stylegan_core.networks.configs import StyleGAN2Config
from stylegan_core.networks.stylegan2 import StyleGAN2Generator

SMALL = BackboneShape(stem=3, widths=(4, 5, 6, 7), units=(1, 2, 1, 1))
DEPTHS = (4, 4, 4, 5, 5, 6, 6, 6)  # of the eight codes of a 32 px generator
W_DIM = 8


def rule(name: str, shape: tuple[int, ...]) -> Tensor:
    """A tensor of shared/fixtures/encoders, whose README states the rule."""
    stream = np.random.RandomState(zlib.crc32(name.encode()))
    if name.endswith("running_var"):
        values = stream.uniform(0.5, 1.5, shape)
    elif name.endswith("running_mean"):
        values = stream.normal(0, 0.1, shape)
    elif len(shape) >= 2:
        values = stream.normal(0, 1, shape)
        if not ("linear" in name and "styles" in name):
            values /= np.sqrt(np.prod(shape[1:]))
    elif name.endswith("weight"):
        values = stream.uniform(0.2, 0.4, shape) if "prelu" in name else stream.uniform(0.7, 1.1, shape)
    else:
        values = stream.normal(0, 0.05, shape)
    return torch.from_numpy(np.asarray(values, np.float32))


def rule_weights(keys: np.ndarray) -> dict[str, Tensor]:
    """The state dict that a fixture's `keys` ("name [shape]") describe."""
    weights = {}
    for key in keys:
        name, _, text = str(key).partition(" ")
        shape = tuple(int(part) for part in text.strip("[]").split(",") if part.strip())
        whole = name.endswith("num_batches_tracked")
        weights[name] = torch.zeros(shape, dtype=torch.int64) if whole else rule(name, shape)
    return weights


def rule_input(channels: int, side: int) -> Tensor:
    """The fixtures' smooth input [2, channels, side, side]."""
    noise = np.random.RandomState(0).uniform(-1, 1, (2, channels, side, side)).astype(np.float32)
    padded = torch.from_numpy(np.pad(noise, ((0, 0), (0, 0), (8, 8), (8, 8)), mode="reflect")).double()
    return (F.avg_pool2d(padded, 17, 1) * 4).float()


def small_decoder(seed: int = 1, w_dim: int = W_DIM) -> StyleGAN2Generator:
    """A 32 px generator with noise inputs, as such files hold one."""
    torch.manual_seed(seed)
    config = StyleGAN2Config(
        z_dim=w_dim, w_dim=w_dim, img_resolution=32, mapping_layers=2, channel_base=128, channel_max=8
    )
    generator = StyleGAN2Generator(config).eval().requires_grad_(False)
    generator.mapping.w_avg.copy_(torch.randn(w_dim) * 0.5)
    return generator


def small_weights(kind: str, shape: BackboneShape = SMALL, depths: tuple[int, ...] = DEPTHS) -> dict[str, Tensor]:
    """Random weights of a small encoder of class `kind`."""
    if KINDS[kind].iterative:
        shape = BackboneShape(6, shape.stem, shape.widths, shape.units)
        depths = (4,) * len(depths)
    network = KINDS[kind].build(shape, W_DIM, depths)
    return {
        name: torch.zeros([], dtype=torch.int64) if tensor.ndim == 0 else rule(name, tuple(tensor.shape))
        for name, tensor in network.state_dict().items()
    }


def write_field_file(path, kind, decoder=None, weights=None, namespace=False, latent_avg="layers", **options):
    """Write a file of class `kind` with its decoder and options, as its authors' trainers do."""
    decoder = decoder or small_decoder()
    theirs = to_rosinality(decoder)
    state = {f"encoder.{name}": tensor for name, tensor in (weights or small_weights(kind)).items()}
    state |= {f"decoder.{name}": tensor for name, tensor in theirs["g_ema"].items()}
    about = {"encoder_type": kind, "start_from_latent_avg": True, "device": "cuda:0", "exp_dir": "/x", **options}
    content = {"state_dict": state, "opts": argparse.Namespace(**about) if namespace else about}
    if latent_avg == "layers":
        content["latent_avg"] = decoder.w_avg.repeat(decoder.num_ws, 1)
    elif latent_avg == "one":
        content["latent_avg"] = decoder.w_avg.clone()
    elif latent_avg is not None:
        content["latent_avg"] = latent_avg
    torch.save(content, path)
    return path
