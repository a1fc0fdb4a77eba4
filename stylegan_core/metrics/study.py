"""Scores that look at samples one by one: by a classifier, by their nearest training images, by their frequencies."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylegan_core.errors import ConfigError
from stylegan_core.images import labelled_grid, to_uint8, write_png
from stylegan_core.metrics.classifier import Classifier, count_modes, fit_classifier, load_classifier, save_classifier
from stylegan_core.metrics.config import WITH_LABELS, EvaluateConfig
from stylegan_core.metrics.extractors import Extractor
from stylegan_core.metrics.frequency import HighFrequencies
from stylegan_core.metrics.inception_score import InceptionScore
from stylegan_core.metrics.nearest import find_neighbours
from stylegan_core.metrics.probe import linear_probe
from stylegan_core.metrics.separability import linear_separability
from stylegan_core.networks.protocol import Generator
from stylegan_core.seeds import generator_for
from stylegan_core.training.dataset import ImageDataset

STUDIED = frozenset({"nearest", "high-frequency", "mode-count", "linear-probe", "separability"})
SHEET_ROWS, SHEET_NEAREST = 12, 3
Judge = Callable[[Tensor], Tensor]  # images [N, 3, R, R] in [-1, 1] -> probabilities [N, A] of attributes


class Study:
    """Samples with their codes and features, and the data's, each made once and only if a score asks for it."""

    def __init__(
        self, generator: Generator, extractor: Extractor, wanted: list[str], config: EvaluateConfig, judge: Judge | None
    ) -> None:
        self.generator, self.extractor, self.config, self.judge = generator, extractor, config, judge
        self.frequencies = HighFrequencies()
        self.by_labels = bool(WITH_LABELS & set(wanted)) or (
            bool({"is", "separability"} & set(wanted)) and bool(config.data) and not config.classifier and judge is None
        )
        self.data: ImageDataset | None = None
        if config.data:
            labelled = self.by_labels or generator.c_dim > 0
            self.data = ImageDataset(Path(config.data), generator.img_resolution, False, labelled)
        self.ws, self.features, self.judged, self.first = self._samples()

    @torch.no_grad()
    def _samples(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Codes w [M, w_dim], features [M, D], judgements [M, A] and the first images of the samples."""
        config, generator, device = self.config, self.generator, self.generator.w_avg.device
        rng, parts = generator_for(config.seed, 1 << 47), []
        classes = torch.eye(generator.c_dim)
        if generator.c_dim and self.data is not None:
            classes = torch.from_numpy(self.data.labels)
        for start in range(0, config.samples, config.batch):
            num = min(config.batch, config.samples - start)
            z = torch.randn(num, generator.z_dim, generator=rng).to(device)
            c = classes[torch.randint(len(classes), (num,), generator=rng)].to(device) if generator.c_dim else None
            ws = generator.mapping(z, c, truncation_psi=config.psi)
            images = generator.synthesis(ws, noise_mode="const").clamp(-1, 1)
            self.frequencies.update(images)
            rgb = images.expand(-1, 3, -1, -1)
            judged = torch.zeros(num, 0) if self.judge is None else self.judge(rgb).cpu()
            kept = images[: max(SHEET_ROWS - start, 0)].cpu()
            parts.append((ws[:, 0].cpu(), self.extractor(rgb)[0].cpu(), judged, kept))
        ws, features, judged, first = (torch.cat(column) for column in zip(*parts, strict=True))
        return ws, features, judged, first

    @torch.no_grad()
    def reals(self) -> tuple[Tensor, Tensor, HighFrequencies]:
        """Features [N, D] and labels [N, c_dim] of the training images, and their frequencies."""
        assert self.data is not None
        rows, labels, frequencies = [], [], HighFrequencies()
        for start in range(0, self.data.num_images, self.config.batch):
            images, c = self.data.batch(range(start, min(start + self.config.batch, self.data.num_images)))
            frequencies.update(images)
            rows.append(self.extractor(images.expand(-1, 3, -1, -1))[0].cpu())
            labels.append(c)
        return torch.cat(rows), torch.cat(labels), frequencies


def study(
    generator: Generator,
    discriminator: Any,
    extractor: Extractor,
    wanted: list[str],
    config: EvaluateConfig,
    judge: Judge | None = None,
) -> dict[str, Any]:
    """Return the wanted of `STUDIED`, and `is` by a classifier where the extractor has no classes."""
    if "linear-probe" in wanted and discriminator is None:
        raise ConfigError(
            "a linear probe needs the discriminator, and this checkpoint has none (an autoencoder has none); "
            "take a snapshot of a GAN trained here"
        )
    result: dict[str, Any] = {"features": extractor.metric}
    own = Study(generator, extractor, wanted, config, judge)
    real, labels, frequencies = own.reals() if own.data is not None else (torch.empty(0), torch.empty(0), None)
    if frequencies is not None and "high-frequency" in wanted:
        result["high_frequency_ratio"] = own.frequencies.mean / max(frequencies.mean, 1e-12)
    if "nearest" in wanted:
        found = find_neighbours(own.features, real)
        result["nearest_share"], result["nearest_threshold"] = found.share, found.threshold
        if config.sheet:
            assert own.data is not None
            write_sheet(config.sheet, own.first, own.data, found.indices)
    classifier = _classifier(config, own.by_labels, real, labels)
    if classifier is not None:
        result |= _by_classifier(classifier, own, wanted, config)
    if "separability" in wanted and judge is not None:
        result["separability"] = linear_separability(own.ws, own.judged, config.seed)
    if "linear-probe" in wanted and own.data is not None:
        probe = linear_probe(discriminator, own.data, config.batch)
        result |= {"linear_probe": probe.accuracy, "linear_probe_majority": probe.majority}
    return result


def _classifier(config: EvaluateConfig, by_labels: bool, real: Tensor, labels: Tensor) -> Classifier | None:
    """The user's classifier, or one trained on the labels of the data; None where no score asks for one."""
    if config.classifier:
        return load_classifier(config.classifier)
    if not by_labels:
        return None
    classifier = fit_classifier(real, labels)
    if config.save_classifier:
        save_classifier(config.save_classifier, classifier)
    return classifier


def _by_classifier(classifier: Classifier, own: Study, wanted: list[str], config: EvaluateConfig) -> dict[str, Any]:
    logits = classifier(own.features)
    result: dict[str, Any] = {"classifier_accuracy": classifier.accuracy, "classes": len(classifier.bias)}
    if "mode-count" in wanted:
        result["mode_count"], result["mode_divergence"] = count_modes(logits)
    if "is" in wanted:
        score = InceptionScore(len(classifier.bias))
        score.update(logits)
        result["is_of_classifier"] = score.value()
    if "separability" in wanted and own.judge is None:
        result["separability"] = linear_separability(own.ws, logits.softmax(1), config.seed)
    return result


def write_sheet(path: str, samples: Tensor, data: ImageDataset, indices: Tensor) -> None:
    """Write samples, one a row, each beside its nearest training images."""
    rows = []
    for sample, nearest in zip(samples, indices, strict=False):
        real = data.batch(nearest[:SHEET_NEAREST].tolist())[0]
        rows.append([*to_uint8(sample[None].expand(-1, 3, -1, -1)), *to_uint8(real.expand(-1, 3, -1, -1))])
    write_png(path, labelled_grid(rows, side=max(64, samples.shape[-1])), note="Left: synthetic; the others: nearest")
