"""A start for small machines: regress the images on their principal components, then go on adversarially.

Each training image gets a code w made of its principal components, the synthesis network learns to draw the image from
it, and the mapping network is set so that z ~ N(0, I) gives codes of that distribution."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from stylegan_core.checkpoints.native import read_safetensors, write_safetensors
from stylegan_core.errors import ConfigError
from stylegan_core.networks.generator import StyleGenerator
from stylegan_core.networks.layers import FullyConnected
from stylegan_core.progress import progress_bar
from stylegan_core.seeds import generator_for
from stylegan_core.training import ema
from stylegan_core.training.anchor import squeeze_distance
from stylegan_core.training.config import TrainConfig
from stylegan_core.training.dataset import DataOrder, ImageDataset

WARM_FILE = "warm-start.safetensors"
SHIFT = 6.0  # standard deviations; that far, z + SHIFT is positive, where leaky ReLU is linear
NOISE = 0.15  # noise on the codes, in units of their spread
MAX_ROWS = 8192  # images that the components are found from
MAX_SIDE = 64  # pixels they are looked at
LR = 1e-2  # of Adam (0.5, 0.99); constant, then linearly to zero over the last 40 %
FEATURE_WEIGHT = 2.0  # of the perceptual distance beside 2 L1
_STREAM = 1 << 42


@dataclass(frozen=True)
class Codes:
    """The codes of all images of a data set."""

    ws: Tensor  # [N, w_dim], mean 0
    scale: Tensor  # [w_dim]: their standard deviation


def principal_codes(images: Tensor, w_dim: int, num_codes: int) -> Codes:
    """Compute partly whitened principal components of images [N, C, H, W]: unit mean square over `num_codes` of w_dim.

    A coefficient c with standard deviation sd becomes c / sd * s, with s ~ sqrt(sd): fully whitened codes would say as
    much of noise as of pose, raw ones nearly nothing but pose."""
    rows = images.flatten(1).double()
    rows = rows - rows.mean(0)
    num = min(num_codes, w_dim, len(rows) - 1, rows.shape[1])
    if rows.shape[1] <= len(rows):
        values, vectors = torch.linalg.eigh(rows.T @ rows)
        basis = vectors[:, -num:].flip(1)
    else:
        values, vectors = torch.linalg.eigh(rows @ rows.T)
        basis = rows.T @ vectors[:, -num:].flip(1) / values[-num:].flip(0).clamp_min(1e-12).sqrt()
    # The sign of a component is arbitrary; make it the same on every machine.
    basis = basis * torch.sign(basis.gather(0, basis.abs().argmax(0, keepdim=True)))
    coefficients = rows @ basis  # [N, num]
    sd = coefficients.std(0).clamp_min(1e-12)
    scale = (sd / sd[0]).sqrt()
    scale = scale / scale.square().mean().sqrt()
    ws, spread = torch.zeros(len(rows), w_dim), torch.zeros(w_dim)
    ws[:, :num] = (coefficients / sd * scale).float()
    spread[:num] = scale.float()
    return Codes(ws, spread)


@torch.no_grad()
def install_mapping(generator: StyleGenerator, scale: Tensor) -> None:
    """Make mapping(z) = scale * (z / rms(z) + SHIFT) exactly, and take the shift back where w is used.

    The hidden layers become identities; they stay in the linear part of leaky ReLU for |z| < SHIFT. Labels are ignored
    at first."""
    mapping, num = generator.mapping, min(generator.z_dim, generator.w_dim)
    layers: list[FullyConnected] = [getattr(mapping, f"fc{index}") for index in range(mapping.num_layers)]
    if any(min(layer.weight.shape) < num for layer in layers):
        raise ConfigError("--warm-start pca needs a mapping network that is nowhere narrower than z and w")
    for index, layer in enumerate(layers):
        first, last = index == 0, index == len(layers) - 1
        factor = torch.ones(num)
        if last:
            factor = scale[:num]
        layer.weight.zero_()
        layer.weight[:num, :num] = torch.diag(factor).to(layer.weight) / layer.weight_gain
        layer.bias.zero_()
        if first:
            offset = SHIFT * (factor if last else torch.ones(num))
            layer.bias[:num] = offset.to(layer.bias) / layer.bias_gain
    shift = torch.zeros(generator.w_dim, device=mapping.w_avg.device)
    shift[:num] = SHIFT * scale[:num].to(shift)
    mapping.w_avg.copy_(shift)
    for affine in affines(generator):
        affine.bias.sub_((affine.weight * affine.weight_gain) @ shift / affine.bias_gain)


@torch.no_grad()
def fit_mapping(generator: StyleGenerator, w: Tensor) -> Tensor:
    """Make mapping(z) normal with the mean and covariance of the codes w [N, w_dim]; return by how much W has moved.

    The hidden layers become identities, as in `install_mapping`; W moves [w_dim] to where the leaky ReLU at its end is
    linear within SHIFT standard deviations, and the layers that use w take the move back."""
    mapping = generator.mapping
    if generator.c_dim or generator.z_dim != generator.w_dim or not mapping.num_layers:
        raise ConfigError("a mapping is fitted to codes where there are no classes and z is as wide as w")
    rows = w.double().cpu()
    mean, deviation = rows.mean(0).float(), rows.std(0).float()
    values, vectors = torch.linalg.eigh(torch.cov(rows.T))
    spread = (vectors * values.clamp_min(0).sqrt()).float()  # [w_dim, z_dim]
    install_mapping(generator, torch.ones(generator.w_dim))
    for affine in affines(generator):  # install_mapping takes a shift of SHIFT back, which is not this mapping's
        affine.bias.add_((affine.weight * affine.weight_gain).sum(1) * SHIFT / affine.bias_gain)
    moved = (SHIFT * deviation - mean).clamp_min(0)
    last = getattr(mapping, f"fc{mapping.num_layers - 1}")
    offset = mean + moved - (spread.sum(1) * SHIFT if mapping.num_layers > 1 else 0)
    last.weight.copy_(spread / last.weight_gain)
    last.bias.copy_(offset / last.bias_gain)
    mapping.w_avg.copy_(mean + moved)
    moved = moved.to(mapping.w_avg)
    for affine in affines(generator):
        affine.bias.sub_((affine.weight * affine.weight_gain) @ moved / affine.bias_gain)
    return moved


def affines(generator: StyleGenerator) -> list[FullyConnected]:
    """The layers that turn w into styles."""
    named = generator.synthesis.named_modules()
    return [m for name, m in named if name.split(".")[-1] == "affine" and isinstance(m, FullyConnected)]


def warm_start(config: TrainConfig, data: ImageDataset, models: Any, device: torch.device, world: Any) -> None:
    """Train `models.generator` by regression for `warm_kimg`, set its mapping, and copy it to the average."""
    generator = models.generator
    if not affines(generator) or not hasattr(generator.mapping, "fc0"):
        raise ConfigError(f"--warm-start pca is for style-based generators, not preset {config.preset}")
    codes = principal_codes(_rows(data), generator.w_dim, min(generator.z_dim, generator.w_dim))
    _regress(config, data, codes, models, device, world.rank == 0)
    install_mapping(generator, codes.scale)
    models.average.load_state_dict(generator.state_dict())


def _rows(data: ImageDataset) -> Tensor:
    """All images, or evenly chosen MAX_ROWS of them, at MAX_SIDE pixels at most."""
    side = min(data.resolution, MAX_SIDE)
    parts = []
    for part in np.array_split(_chosen(data), max(len(_chosen(data)) // 256, 1)):
        images, _ = data.batch(part.tolist())
        parts.append(interpolate(images, size=(side, side), mode="area"))
    return torch.cat(parts)


def _chosen(data: ImageDataset) -> Any:
    return np.linspace(0, len(data) - 1, min(len(data), MAX_ROWS)).round().astype(int)


def _regress(
    config: TrainConfig, data: ImageDataset, codes: Codes, models: Any, device: torch.device, show: bool
) -> None:
    """Train the synthesis network on (code, image) pairs; goes on from WARM_FILE where that is there."""
    generator, average = models.generator, models.average
    parameters = [p for p in generator.synthesis.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=LR, betas=(0.5, 0.99))
    distance = squeeze_distance(device)
    order, chosen = DataOrder(len(codes.ws), config.seed + 1), _chosen(data)
    total = max(int(config.warm_kimg * 1000) // config.batch, 1)
    path = Path(config.out) / WARM_FILE
    first = _resume(path, generator, average, optimizer)
    for step in progress_bar(range(first, total), show, desc="warm start", unit="step"):
        optimizer.param_groups[0]["lr"] = LR * min(1.0, (1 - step / total) / 0.4)
        places = order.indices(step * config.batch, config.batch)
        rng = generator_for(config.seed, _STREAM + step)
        noise = NOISE * codes.scale * torch.randn(config.batch, len(codes.scale), generator=rng)
        ws = (codes.ws[places] + noise).to(device)
        images, _ = data.batch(chosen[places].tolist())
        images = images.to(device)
        drawn = generator.synthesis(ws[:, None].expand(-1, generator.num_ws, -1), noise_mode="const")
        loss = 2 * (drawn - images).abs().mean()
        loss = loss + FEATURE_WEIGHT * distance(drawn, images).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        ema.update(average, generator, ema.decay(config.batch, 1.0, (step + 1) * config.batch, 0.1))
        if show and (step + 1) % max(int(config.snapshot_kimg * 1000) // config.batch, 1) == 0:
            _save(path, generator, average, optimizer, step + 1)
    generator.load_state_dict(average.state_dict())


def _save(path: Path, generator: nn.Module, average: nn.Module, optimizer: Any, step: int) -> None:
    tensors = {f"G.{name}": tensor for name, tensor in generator.state_dict().items()}
    tensors |= {f"G_ema.{name}": tensor for name, tensor in average.state_dict().items()}
    for index, values in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": torch.as_tensor(value) for key, value in values.items()}
    write_safetensors(path, tensors, {"step": str(step)})


def _resume(path: Path, generator: nn.Module, average: nn.Module, optimizer: Any) -> int:
    if not path.is_file():
        return 0
    tensors, header = read_safetensors(path)
    for prefix, network in (("G.", generator), ("G_ema.", average)):
        network.load_state_dict(_under(tensors, prefix))
    states: dict[int, dict[str, Tensor]] = {}
    for name, tensor in _under(tensors, "optimizer.").items():
        index, _, key = name.partition(".")
        states.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})
    return int(header["step"])


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
