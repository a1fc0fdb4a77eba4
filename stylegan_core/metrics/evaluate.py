"""Measure a generator: samples against the images it was trained on, and its latent space by itself."""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylegan_core.checkpoints import load_checkpoint, load_generator
from stylegan_core.devices import pick_device
from stylegan_core.errors import ConfigError
from stylegan_core.features.perceptual import load_perceptual
from stylegan_core.files import write_text
from stylegan_core.metrics.config import EvaluateConfig, parse_scores
from stylegan_core.metrics.extractors import Extractor, get_extractor
from stylegan_core.metrics.frechet import FeatureStatistics, frechet_distance
from stylegan_core.metrics.inception_score import InceptionScore
from stylegan_core.metrics.kernel import kernel_distance_of_subsets
from stylegan_core.metrics.path_length import perceptual_path_length
from stylegan_core.metrics.precision_recall import precision_recall
from stylegan_core.metrics.study import STUDIED, study
from stylegan_core.networks.protocol import Alignment, Generator
from stylegan_core.progress import progress_bar
from stylegan_core.seeds import generator_for
from stylegan_core.training.anchor import at_least_64
from stylegan_core.training.dataset import ImageDataset

Judges = Callable[[Tensor, Alignment], Tensor]  # faces [N, 3, R, R] in [-1, 1], alignment -> probabilities [N, A]


class Collected:
    """What the scores need of a set of images: streamed statistics, and the features where they are asked for."""

    def __init__(self, extractor: Extractor, keep: bool) -> None:
        self.extractor = extractor
        self.statistics = FeatureStatistics(extractor.dim)
        self.inception = InceptionScore(extractor.num_classes) if extractor.num_classes else None
        self.parts: list[Tensor] | None = [] if keep else None

    def add(self, images: Tensor) -> None:
        """Take in images [N, C, R, R] in [-1, 1]."""
        features, logits = self.extractor(images.expand(-1, 3, -1, -1))
        self.statistics.update(features)
        if self.inception is not None and logits is not None:
            self.inception.update(logits)
        if self.parts is not None:
            self.parts.append(features.float().cpu())

    @property
    def features(self) -> Tensor:
        """All features [N, dim]."""
        assert self.parts is not None
        return torch.cat(self.parts)


def collect(images: Iterable[Tensor], extractor: Extractor, keep: bool = False) -> Collected:
    """Run batches of images through the extractor."""
    collected = Collected(extractor, keep)
    for batch in images:
        collected.add(batch)
    return collected


@torch.no_grad()
def generated(
    generator: Generator, num: int, seed: int, batch: int = 32, psi: float = 1.0, labels: Tensor | None = None
) -> Iterator[Tensor]:
    """Draw `num` images [<= batch, C, R, R]; a conditional generator takes its labels from `labels` [M, c_dim]."""
    rng, device = generator_for(seed, 1 << 43), generator.w_avg.device
    if generator.c_dim and labels is None:
        labels = torch.eye(generator.c_dim)  # every class alike
    for start in progress_bar(range(0, num, batch), desc="samples", unit="batch", leave=False):
        z = torch.randn(min(batch, num - start), generator.z_dim, generator=rng)
        c = None
        if generator.c_dim and labels is not None:
            c = labels[torch.randint(len(labels), (len(z),), generator=rng)].to(device)
        yield generator.synthesis(generator.mapping(z.to(device), c, truncation_psi=psi), noise_mode="const")


def real_images(data: ImageDataset, batch: int = 32) -> Iterator[Tensor]:
    """All images of a data set."""
    for start in progress_bar(range(0, len(data), batch), desc="data", unit="batch", leave=False):
        yield data.batch(range(start, min(start + batch, len(data))))[0]


def evaluate(checkpoint: str, config: EvaluateConfig, judges: Judges | None = None) -> dict[str, Any]:
    """Return the scores by name, with what they were measured on; writes them to `config.out` if that is given.

    `judges` gives attributes of faces by their alignment, for separability where neither a classifier nor data is.

    Raises a `ToolkitError` for options that make no sense, before anything is computed."""
    wanted = parse_scores(config)
    device = pick_device(config.device)
    generator = load_generator(checkpoint, device)
    result: dict[str, Any] = {
        "generator": generator.meta.fingerprint,
        "samples": config.samples,
        "psi": config.psi,
        "seed": config.seed,
    }
    result |= _from_features(checkpoint, generator, wanted, config, device, judges)
    lengths = [name for name in wanted if name.startswith("ppl")]
    if lengths:
        perceptual = load_perceptual("auto", device)
        result["ppl_features"] = perceptual.name
        for name in lengths:
            _, space, sampling = name.split("-")
            rng = generator_for(config.seed, 1 << 44)
            result[name] = perceptual_path_length(
                generator, lambda a, b: perceptual(at_least_64(a), at_least_64(b)), config.paths, rng, space, sampling
            )
    if config.out:
        write_text(config.out, json.dumps(result, indent=2) + "\n")
    return result


def _from_features(
    checkpoint: str,
    generator: Generator,
    wanted: list[str],
    config: EvaluateConfig,
    device: torch.device,
    judges: Judges | None,
) -> dict[str, Any]:
    """All scores but path lengths."""
    if not set(wanted) - {name for name in wanted if name.startswith("ppl")}:
        return {}
    extractor = get_extractor(config.features, config.weights or None, device)
    classifies = "is" in wanted and (bool(config.classifier) or not extractor.num_classes)
    if classifies and not (config.classifier or config.data):
        raise ConfigError(
            "an Inception score needs the Inception weights (--features fid --weights FILE), a --classifier, or "
            "labelled --data"
        )
    result: dict[str, Any] = {}
    if set(wanted) - STUDIED - ({"is"} if classifies else set()) - {n for n in wanted if n.startswith("ppl")}:
        result |= _compared(generator, extractor, wanted, config)
    if classifies or STUDIED & set(wanted):
        judge = None
        if "separability" in wanted and judges is not None and not (config.classifier or config.data):
            alignment = generator.meta.alignment

            def judge(images: Tensor) -> Tensor:
                return judges(images, alignment)

        discriminator = load_checkpoint(checkpoint).discriminator if "linear-probe" in wanted else None
        if discriminator is not None:
            discriminator = discriminator.to(device)
        result |= study(generator, discriminator, extractor, wanted, config, judge)
    return result


def _compared(generator: Generator, extractor: Extractor, wanted: list[str], config: EvaluateConfig) -> dict[str, Any]:
    """Scores from features of samples and of the data."""
    keep = bool({"kd", "precision-recall"} & set(wanted))
    result: dict[str, Any] = {"features": extractor.metric}
    labels, real = None, None
    if {"fd", "kd", "precision-recall"} & set(wanted):
        data = ImageDataset(Path(config.data), generator.img_resolution, config.mirror, generator.c_dim > 0)
        labels = torch.from_numpy(data.labels) if generator.c_dim else None
        real = collect(real_images(data, config.batch), extractor, keep)
        result["data"], result["images"] = Path(config.data).name, len(data)
    images = generated(generator, config.samples, config.seed, config.batch, config.psi, labels)
    fake = collect(images, extractor, keep)
    if real is not None and "fd" in wanted:
        result[extractor.metric] = frechet_distance(fake.statistics, real.statistics)
    if real is not None and "kd" in wanted:
        name = "kid" if extractor.metric == "fid" else extractor.metric.replace("fd-", "kd-")
        rng = generator_for(config.seed, 1 << 45)
        result[name], result[f"{name}_std"] = kernel_distance_of_subsets(fake.features, real.features, rng)
    if real is not None and "precision-recall" in wanted:
        result["precision"], result["recall"] = precision_recall(real.features, fake.features, config.neighbours)
    if "is" in wanted and fake.inception is not None:
        result["is"] = fake.inception.value()
    return result


def fallback_note(result: dict[str, Any]) -> str:
    """Say, where it applies, that the Fréchet distance is not FID."""
    if result.get("features") != "fd-squeezenet":
        return ""
    return (
        "fd-squeezenet is the Fréchet distance in the embedded SqueezeNet's features, not FID: compare it with itself "
        "only (FID needs --weights with the Inception file, and pip install 'invertigo[fid]')"
    )


def report_lines(result: dict[str, Any]) -> list[str]:
    """Write the scores as lines for the terminal."""
    lines = [
        f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}" for name, value in result.items()
    ]
    note = fallback_note(result)
    return [*lines, note] if note else lines
