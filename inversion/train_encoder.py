"""Train an encoder for any generator: closed form first, then a small network, then the loss's curvature."""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inversion.config import EncoderConfig, ProjectionConfig
from inversion.curvature import measure_curvature
from inversion.encoder import Encoder, EncoderShape, find_encoder, resized, save_encoder
from inversion.losses import mean_squared_error, perceptual_features
from inversion.project import learning_rate_schedule
from inversion.state import State, pack_streams, run_steps, unpack_streams
from inversion.statistics import class_labels, sample_w, sample_z, w_statistics
from stylegan_core.checkpoints.load import load_generator
from stylegan_core.console import Console
from stylegan_core.devices import pick_device
from stylegan_core.errors import ConfigError
from stylegan_core.features.perceptual import PerceptualDistance, load_perceptual
from stylegan_core.seeds import generator_for
from stylegan_core.training.dataset import ImageDataset

LINEAR_SIDE, SIDE = 32, 64  # pixels at most of the two parts' inputs
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
    data = ImageDataset(config.data, generator.img_resolution) if config.data else None
    check_encoder_options(config, data)
    network = start_encoder(generator, config)
    search = _Training(generator, perceptual, network, data, config)
    with console.progress("encoder", config.steps) as progress:
        state = Path(out).with_name(f".{Path(out).name}.state")
        run_steps(search, config.steps, progress, state, _signature(generator, perceptual, config))
    network.eval().requires_grad_(False)
    curvature = curvature_of(generator, perceptual, config, console)
    scores = search.scores()
    report = {"options": asdict(config), "perceptual": perceptual.name, "scores": scores}
    save_encoder(out, network, generator.meta.fingerprint, curvature, report)
    state.unlink(missing_ok=True)
    told = ", ".join(f"{name} {value:.2f} dB" for name, value in scores.items())
    console.say(f"{out}: encoder for {generator.meta.name} ({told})")


def check_encoder_options(config: EncoderConfig, data: ImageDataset | None) -> None:
    """Refuse options that make no sense; raises `ConfigError`."""
    if config.samples < 16 or config.steps < 0 or config.batch < 1 or config.lr <= 0 or config.probes < 0:
        raise ConfigError("an encoder needs 16 samples or more, and steps, probes and learning rate that make sense")
    if data is not None and not 0 <= config.holdout < data.num_images:
        raise ConfigError(f"--holdout {config.holdout} leaves none of the {data.num_images} images; keep some")


def start_encoder(generator: Any, config: EncoderConfig) -> Encoder:
    """Return an encoder whose linear part is the shipped one's, or a ridge regression on samples."""
    shipped = find_encoder(generator)
    side = min(SIDE, generator.img_resolution)
    if shipped is not None:
        linear_side = shipped.network.shape.linear_side
    else:
        linear_side = min(LINEAR_SIDE, generator.img_resolution)
    torch_state = torch.get_rng_state()
    torch.manual_seed(config.seed)  # the layers' own initialisation draws from the global stream, which is put back
    shape = EncoderShape(generator.img_channels, generator.w_dim, generator.num_ws, linear_side, side)
    network = Encoder(shape).to(generator.w_avg.device)
    torch.set_rng_state(torch_state)
    network.w_std.copy_(w_statistics(generator)[1])
    if shipped is not None:
        matrices = shipped.network.mean, shipped.network.projection, shipped.network.shift
    else:
        matrices = fit_linear(generator, linear_side, config)
    for buffer, matrix in zip((network.mean, network.projection, network.shift), matrices, strict=True):
        buffer.copy_(matrix)
    return network


def fit_linear(generator: Any, side: int, config: EncoderConfig) -> tuple[Tensor, Tensor, Tensor]:
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
    generator: Any, perceptual: PerceptualDistance, config: EncoderConfig, console: Console
) -> dict[str, Tensor]:
    """Measure the curvature of `project`'s loss over the generator's W+."""
    if not config.probes:
        return {}
    with console.progress("curvature", config.probes) as progress:
        return measure_curvature(generator, perceptual, ProjectionConfig(), config.probes, config.seed, progress)


def _signature(generator: Any, perceptual: PerceptualDistance, config: EncoderConfig) -> str:
    about = {**asdict(config), "generator": generator.meta.fingerprint, "perceptual": perceptual.name}
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


class _Training:
    """Adam on the encoder's network."""

    def __init__(
        self, generator: Any, perceptual: PerceptualDistance, network: Encoder, data: Any, config: EncoderConfig
    ) -> None:
        self.generator, self.perceptual, self.network = generator, perceptual, network
        self.data, self.config = data, config
        self.projection = ProjectionConfig()
        self.parameters = list(network.parameters())
        self.optimizer = torch.optim.Adam(self.parameters, lr=config.lr, betas=BETAS)
        self.stream = generator_for(config.seed, ORDER_STREAM)

    def step(self, step: int) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.lr * learning_rate_schedule(step, self.config.steps)
        num_real = self.config.batch // 2 if self.data else 0
        samples, w = self._samples(self.config.batch - num_real)
        images = torch.cat([samples, self._real(num_real)]) if num_real else samples
        ws, offsets = self.network.split(images)
        renders = self.generator.synthesis(ws, noise_mode="const")
        features = [perceptual_features(self.perceptual, part) for part in (renders, images)]
        loss = self.projection.lambda_mse * mean_squared_error(renders, images) + self.perceptual.between(*features)
        loss = (loss + self.config.offsets * offsets.square().mean(dim=(1, 2))).mean()
        error = (ws[: len(w)].mean(dim=1) - w) / self.network.w_std
        loss = loss + LAMBDA_W * error.square().mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())

    def finished(self) -> bool:
        return False

    def state(self) -> State:
        tensors = dict(self.network.state_dict())
        for index, values in self.optimizer.state_dict()["state"].items():
            tensors |= {f"adam.{index}.{key}": value for key, value in values.items()}
        return {**tensors, "streams": pack_streams([self.stream])}, {}

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        own = self.network.state_dict()
        self.network.load_state_dict({name: tensors[name] for name in own})
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith("adam."):
                _, index, key = name.split(".")
                state.setdefault(int(index), {})[key] = tensor
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})
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
        error = mean_squared_error(torch.cat(renders).clamp(-1, 1), images.clamp(-1, 1))
        return float((10 * (4 / error.clamp_min(1e-12)).log10()).mean())

    def _samples(self, num: int) -> tuple[Tensor, Tensor]:
        """Draw images of the generator and their w."""
        z, labels = sample_z(self.generator, num, self.stream), None
        if self.generator.c_dim:
            every = class_labels(self.generator, self.generator.c_dim, z.device)
            assert every is not None
            labels = every[torch.randint(self.generator.c_dim, (num,), generator=self.stream).to(z.device)]
        with torch.no_grad():
            ws = self.generator.mapping(z, labels)
            return self.generator.synthesis(ws, noise_mode="const"), ws[:, 0]

    def _real(self, num: int) -> Tensor:
        indices = torch.randint(self.data.num_images - self.config.holdout, (num,), generator=self.stream).tolist()
        images = self._images(indices)
        flips = torch.rand(num, generator=self.stream) < 0.5
        return torch.where(flips[:, None, None, None].to(images.device), images.flip(3), images)

    def _images(self, indices: list[int]) -> Tensor:
        images: Tensor = self.data.batch(indices)[0].to(self.generator.w_avg.device)
        if self.generator.img_channels == 1:
            return images.mean(dim=1, keepdim=True)
        return images.expand(-1, self.generator.img_channels, -1, -1)
