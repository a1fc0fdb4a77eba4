"""Train an encoder for any generator: closed form first, then the loss's curvature, then a network."""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from inversion.adam import learning_rate_schedule
from inversion.config import EncoderConfig, ProjectionConfig
from inversion.curvature import PROBES_A_STEP, Probing, conditioned
from inversion.encoder import Encoder, EncoderShape, find_encoder, save_encoder
from inversion.objective import InversionObjective, LossWeights, total
from inversion.scores import psnr
from inversion.state import State, pack_optimizer, pack_streams, run_steps, unpack_optimizer, unpack_streams
from inversion.statistics import random_ws, sample_w, w_statistics
from stylegan_core.checkpoints.load import load_generator
from stylegan_core.console import Console
from stylegan_core.devices import pick_device
from stylegan_core.errors import ConfigError
from stylegan_core.features.perceptual import PerceptualDistance, load_perceptual
from stylegan_core.networks.protocol import Generator
from stylegan_core.ops.resample import resized
from stylegan_core.seeds import generator_for
from stylegan_core.training.dataset import ImageDataset

LINEAR_SIDE = 32  # pixels at most of the linear part's input
HIDDEN = 512
SAMPLES = 0.25  # share of the generator's own samples in a batch where there are images
TURN, ZOOM, SHIFT = 0.05, 0.05, 0.04  # of varied images: radians, and shares of the side
CONTRAST, TINT, LIGHT = 0.15, 0.05, 0.1
OUTPUT_SCALE = 0.02  # of the last layer while it is trained: its unit is then about a step of Adam's
RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # in units of the inputs' mean variance; the best on held-out samples is taken
LAMBDA_W = 0.1  # weight of the error of w on samples, in units of its std
BETAS = (0.9, 0.99)
SAMPLE_STREAM, ORDER_STREAM = 1 << 23, 1 << 24


def train_encoder(
    out: str, generator_name: str, perceptual_name: str, device: str, config: EncoderConfig, console: Console
) -> None:
    """Train an encoder for a generator and write it to `out`; run again after an interruption, it goes on."""
    place = pick_device(device)
    generator, perceptual = load_generator(generator_name, place), load_perceptual(perceptual_name, place)
    data = ImageDataset(config.data, generator.img_resolution, exclude=config.exclude) if config.data else None
    check_encoder_options(config, data)
    states = [Path(out).with_name(f".{Path(out).name}.{part}") for part in ("curvature", "state")]
    curvature = curvature_of(generator, perceptual, config, states[0], console)
    if config.network:
        config = replace(config, steps=0)
    search = _EncoderTraining(generator, perceptual, start_encoder(generator, config), curvature, data, config)
    with console.progress("encoder", config.steps) as progress:
        run_steps(search, config.steps, progress, states[1], _signature(generator, perceptual, asdict(config)))
    network, scores = search.trained(), search.scores()
    report = {"options": asdict(config), "perceptual": perceptual.name, "scores": scores}
    save_encoder(out, network, generator.meta.fingerprint, curvature, report)
    for state in states:
        state.unlink(missing_ok=True)
    told = ", ".join(f"{name} {value:.2f} dB" for name, value in scores.items())
    console.say(f"{out}: encoder for {generator.meta.name} ({told})")


def check_encoder_options(config: EncoderConfig, data: ImageDataset | None) -> None:
    """Refuse options that do not fit the data; raises `ConfigError`."""
    if data is not None and config.batch < 2:
        raise ConfigError("--batch 1 leaves no place for images beside the generator's samples; give 2 or more")
    if data is not None and not 0 <= config.holdout < data.num_images:
        raise ConfigError(f"--holdout {config.holdout} leaves none of the {data.num_images} images; keep some")


def start_encoder(generator: Generator, config: EncoderConfig) -> Encoder:
    """Return an encoder whose linear part is the shipped one's, or a ridge regression on samples.

    With `config.network` it is the one in that file."""
    found = find_encoder(generator, config.network)
    if config.network:
        if found is None or found.network is None:
            raise ConfigError(f"{config.network}: no encoder of ours; give one that `encoder cotrain` wrote")
        return found.network
    shipped = found.network if found else None
    linear_side = shipped.shape.linear_side if shipped is not None else min(LINEAR_SIDE, generator.img_resolution)
    torch_state = torch.get_rng_state()
    torch.manual_seed(config.seed)  # the layers' own initialisation draws from the global stream, which is put back
    hidden = HIDDEN if config.steps else 0
    shape = EncoderShape(generator.img_channels, generator.w_dim, generator.num_ws, linear_side, hidden)
    network = Encoder(shape).to(generator.w_avg.device)
    torch.set_rng_state(torch_state)
    network.w_std.copy_(w_statistics(generator)[1])
    if shipped is not None:
        matrices = shipped.mean, shipped.projection, shipped.shift
    else:
        matrices = fit_linear(generator, linear_side, config)
    for buffer, matrix in zip((network.mean, network.projection, network.shift), matrices, strict=True):
        buffer.copy_(matrix)
    return network


def fit_linear(generator: Generator, side: int, config: EncoderConfig) -> tuple[Tensor, Tensor, Tensor]:
    """Regress w on the generator's samples at `side` pixels; return mean [C side^2], projection, and shift [w_dim].

    Ridge regression in closed form; its strength is the one of `RIDGES` that does best on a tenth held out."""
    w = sample_w(generator, config.samples, config.seed + 1)
    with torch.no_grad():
        parts = [
            resized(generator.synthesis(part[:, None].repeat(1, generator.num_ws, 1), noise_mode="const"), side)
            for part in w.split(16)
        ]
    x = torch.cat(parts).flatten(1)
    return ridge(x, w, RIDGES)


def ridge(x: Tensor, y: Tensor, strengths: Sequence[float]) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean [D], projection [D, K] and shift [K] so that y [N, K] ~ (x - mean) @ projection + shift, x [N, D].

    The strength (times the mean variance of x) is chosen on the last tenth of the rows."""
    kept = len(x) - len(x) // 10
    mean, shift = x[:kept].mean(dim=0), y[:kept].mean(dim=0)
    u, s, vh = torch.linalg.svd((x[:kept] - mean).double(), full_matrices=False)
    target = u.T @ (y[:kept] - shift).double()
    rest = (x[kept:] - mean).double() @ vh.T
    variance = float(s.square().mean())
    best, projection = math.inf, None
    for strength in strengths:
        solved = (s / (s.square() + strength * variance))[:, None] * target
        error = float((rest @ solved - (y[kept:] - shift).double()).square().mean())
        if error < best:
            best, projection = error, vh.T @ solved
    assert projection is not None
    return mean, projection.to(x), shift


def curvature_of(
    generator: Generator, perceptual: PerceptualDistance, config: EncoderConfig, state: Path, console: Console
) -> dict[str, Tensor]:
    """Measure the curvature of `project`'s loss over the generator's W+."""
    search = Probing(generator, perceptual, ProjectionConfig(), config.seed)
    about = {"seed": config.seed, "probes": config.probes}
    steps = math.ceil(config.probes / PROBES_A_STEP)
    with console.progress("curvature", steps) as progress:
        run_steps(search, steps, progress, state, _signature(generator, perceptual, about))
    return search.curvature()


def _signature(generator: Generator, perceptual: PerceptualDistance, options: dict[str, Any]) -> str:
    about = {**options, "generator": generator.meta.fingerprint, "perceptual": perceptual.name}
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def varied(images: Tensor, stream: torch.Generator) -> Tensor:
    """Return images [N, C, R, R] mirrored, turned, moved, and lit a little otherwise: what a photo might be as well.

    An encoder's target is its own input, so variations need no labels."""

    def between(low: float, high: float, *sizes: int) -> Tensor:
        return low + (high - low) * torch.rand(len(images), *sizes, generator=stream)

    angle, scale, side = between(-TURN, TURN), between(1 - ZOOM, 1 + ZOOM), between(-1, 1).sign()
    turned = torch.stack([angle.cos() * side, -angle.sin(), angle.sin() * side, angle.cos()], dim=1).view(-1, 2, 2)
    matrix = torch.cat([turned * scale[:, None, None], between(-SHIFT, SHIFT, 2, 1)], dim=2).to(images)
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    gain = between(1 - CONTRAST, 1 + CONTRAST, 1, 1, 1) * between(1 - TINT, 1 + TINT, images.shape[1], 1, 1)
    return (moved * gain.to(images) + between(-LIGHT, LIGHT, 1, 1, 1).to(images)).clamp(-1, 1)


class _EncoderTraining:
    """Adam on the encoder's network.

    While it is trained, its last layer is in the coordinates in which the loss is round (inversion/curvature.py):
    offsets that change the picture little may grow large, and those that change it much stay small."""

    def __init__(
        self,
        generator: Generator,
        perceptual: PerceptualDistance,
        network: Encoder,
        curvature: dict[str, Tensor],
        data: Any,
        config: EncoderConfig,
    ) -> None:
        self.generator, self.perceptual, self.network = generator, perceptual, network
        self.curvature, self.data, self.config = curvature, data, config
        weights = replace(LossWeights.of(ProjectionConfig()), wplus=config.spread)
        self.objective = InversionObjective(generator.synthesis, weights, perceptual, network.w_std)
        self.parameters = list(network.parameters())
        self.optimizer = torch.optim.Adam(self.parameters or [torch.zeros(1)], lr=config.lr, betas=BETAS)
        self.stream = generator_for(config.seed, ORDER_STREAM)

    def step(self, step: int) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.lr * learning_rate_schedule(step, self.config.steps)
        num_samples = max(1, round(SAMPLES * self.config.batch)) if self.data else self.config.batch
        images, w = self._samples(num_samples)
        if num_samples < self.config.batch:
            images = torch.cat([images, self._real(self.config.batch - num_samples)])
        ws = self.network.placed(images, self._conditioned(self.network.raw_offsets(images) * OUTPUT_SCALE))
        loss = total(self.objective.terms(ws, self.objective.target(images))).mean()
        error = (ws[: len(w)].mean(dim=1) - w) / self.network.w_std
        self.optimizer.zero_grad(set_to_none=True)
        (loss + LAMBDA_W * error.square().mean()).backward()
        self.optimizer.step()
        return float(loss.detach())

    def _conditioned(self, offsets: Tensor) -> Tensor:
        return conditioned(offsets, self.curvature) if self.curvature else offsets

    def trained(self) -> Encoder:
        """Bring the last layer back to the coordinates of W+, once, and return the encoder."""
        network = self.network.eval().requires_grad_(False)
        if network.shape.hidden and self.config.steps:
            last = network.offsets
            last.weight.copy_(self._conditioned(last.weight.T * OUTPUT_SCALE).T)
            last.bias.copy_(self._conditioned(last.bias[None] * OUTPUT_SCALE)[0])
        return network

    def finished(self) -> bool:
        return False

    def state(self) -> State:
        tensors = {**self.network.state_dict(), **pack_optimizer(self.optimizer)}
        return {**tensors, "streams": pack_streams([self.stream])}, {}

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        own = self.network.state_dict()
        self.network.load_state_dict({name: tensors[name] for name in own})
        unpack_optimizer(self.optimizer, tensors)
        unpack_streams([self.stream], tensors["streams"])

    def scores(self) -> dict[str, float]:
        """Return the mean PSNR in dB of held-out images and of fresh samples through the encoder alone."""
        self.stream = generator_for(self.config.seed, SAMPLE_STREAM)
        scores = {"samples": self._psnr(self._samples(16)[0])}
        if self.data and self.config.holdout:
            first = self.data.num_images - self.config.holdout
            held = [self._images([index]) for index in range(first, self.data.num_images)]
            scores["held_out"] = self._psnr(torch.cat(held))
        return scores

    def _psnr(self, images: Tensor) -> float:
        with torch.no_grad():
            renders = [self.generator.synthesis(self.network(part), noise_mode="const") for part in images.split(8)]
        return float(psnr(torch.cat(renders), images).mean())

    def _samples(self, num: int) -> tuple[Tensor, Tensor]:
        """Draw images of the generator and their w."""
        ws = random_ws(self.generator, num, self.stream)
        with torch.no_grad():
            return self.generator.synthesis(ws, noise_mode="const"), ws[:, 0]

    def _real(self, num: int) -> Tensor:
        indices = torch.randint(self.data.num_images - self.config.holdout, (num,), generator=self.stream).tolist()
        return varied(self._images(indices), self.stream)

    def _images(self, indices: list[int]) -> Tensor:
        images: Tensor = self.data.batch(indices)[0].to(self.generator.w_avg.device)
        if self.generator.img_channels == 1:
            return images.mean(dim=1, keepdim=True)
        return images.expand(-1, self.generator.img_channels, -1, -1)
