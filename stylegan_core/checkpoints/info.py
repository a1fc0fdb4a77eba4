"""What a checkpoint is, in a few lines for people."""

from pathlib import Path
from typing import Any

from torch import nn

from stylegan_core.checkpoints.load import load_checkpoint
from stylegan_core.networks.build import GeneratorNetwork
from stylegan_core.networks.configs import config_to_dict

ARCHITECTURES = {
    "stylegan1": "StyleGAN1",
    "stylegan2": "StyleGAN2",
    "stylegan3": "StyleGAN3",
    "dcgan": "DCGAN",
    "lapgan": "LAPGAN",
}


def describe_checkpoint(path: str | Path) -> dict[str, str]:
    """Return what `invertigo info` prints of a checkpoint, label by label."""
    checkpoint = load_checkpoint(path)
    generator, meta = checkpoint.generator, checkpoint.meta
    config = config_to_dict(checkpoint.config)
    colours = {1: "grayscale", 3: "RGB", 4: "RGBA"}.get(generator.img_channels, f"{generator.img_channels} channels")
    lines = {
        "kind": "generator checkpoint",
        "format": meta.format,
        "architecture": _architecture(config),
        "resolution": f"{generator.img_resolution} x {generator.img_resolution}, {colours}",
        "dims": f"z {generator.z_dim}, w {generator.w_dim}, labels {generator.c_dim or 'none'}",
        "num_ws": str(generator.num_ws),
        "mapping layers": str(config.get("mapping_layers", "none: W is Z")),
        "noise inputs": str(len(generator.noise) or "none"),
        "w_avg": _w_avg(generator, meta.training),
        "parameters": f"{count(generator):,}",
        "discriminator": _discriminator(checkpoint.discriminator),
        "alignment": f"crop_scale {meta.alignment.crop_scale}, crop_shift {meta.alignment.crop_shift}",
        "fingerprint": meta.fingerprint,
        "licence": meta.licence or "no note found in the file",
    }
    training = {key: value for key, value in meta.training.items() if key != "w_avg"}
    return lines | ({"training": ", ".join(f"{k} {v}" for k, v in training.items())[:400]} if training else {})


def count(network: nn.Module) -> int:
    """Return the number of a network's parameters."""
    return sum(parameter.numel() for parameter in network.parameters())


def _architecture(config: dict[str, Any]) -> str:
    name = ARCHITECTURES.get(config["arch"], config["arch"])
    if config["arch"] == "stylegan2":
        return f"{name} ({config['architecture']})"
    if config["arch"] == "stylegan3":
        return f"{name}-{'R' if config['use_radial_filters'] else 'T'}"
    if config["arch"] == "autoencoder":
        return "variational autoencoder" if config["variational"] else name
    return name


def _w_avg(generator: GeneratorNetwork, training: dict[str, Any]) -> str:
    if "w_avg" in training:
        return str(training["w_avg"])
    return "present" if bool(generator.w_avg.any()) else "all zeros: truncation will not give the mean image"


def _discriminator(network: nn.Module | None) -> str:
    return "none" if network is None else f"{count(network):,} parameters"
