"""What docs/gans.md counts on samples: modes found, good samples, high frequencies; Fréchet distances of faces."""

from pathlib import Path

import torch
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import SVC
from torch import Tensor

from stylegan_core.checkpoints import load_generator
from stylegan_core.metrics.evaluate import collect, generated
from stylegan_core.metrics.extractors import get_extractor
from stylegan_core.metrics.frechet import FeatureStatistics, frechet_distance
from stylegan_core.metrics.frequency import HighFrequencies
from stylegan_core.training.dataset import ImageDataset


class RingJudge:
    """Knows the ring's modes by their mean images: good is a sample as near to one as 99 % of the data are to theirs.

    Distances are Euclidean between pixels in [0, 1], in units of the mean image's length."""

    def __init__(self, data: Path) -> None:
        images, labels = _read(data)
        self.num_modes, self.sharpness = labels.shape[1], sharpness(images)
        self.means = (labels.T @ light(images)) / labels.sum(0)[:, None]  # [8, pixels]
        self.limit = float(torch.quantile(self._nearest(images)[0], 0.99))

    def _nearest(self, images: Tensor) -> tuple[Tensor, Tensor]:
        nearest = (torch.cdist(light(images), self.means) / self.means.norm(dim=1)).min(1)
        return nearest.values, nearest.indices

    def verdict(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Whether images [N, C, R, R] are good, and their modes: [N], [N]."""
        distances, modes = self._nearest(images)
        return distances <= self.limit, modes


class DigitsJudge:
    """Reads digits by support vector machines, one a digit, of the first four fifths of a set.

    Good is a sample that is read as clearly as 95 % of the last fifth (by how much the first machine's value is over
    the second's) and as near to one of the first (pixels in [0, 1], in units of that one's length)."""

    def __init__(self, data: Path) -> None:
        images, labels = _read(data)
        rows, digits, num = light(images), labels.argmax(1), len(images) * 4 // 5
        self.num_modes, self.sharpness = labels.shape[1], sharpness(images)
        self.known = rows[:num]
        self.reader = OneVsRestClassifier(SVC(C=10)).fit(rows[:num].numpy(), digits[:num].numpy())
        clearness, distances, read = self._look(images[num:])
        self.least_clear = float(torch.quantile(clearness, 0.05))
        self.limit = float(torch.quantile(distances, 0.95))
        self.accuracy = float((read == digits[num:]).float().mean())  # of the last fifth

    def _look(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rows = light(images)
        best = torch.from_numpy(self.reader.decision_function(rows.numpy())).topk(2, dim=1)
        distances = (torch.cdist(rows, self.known) / self.known.norm(dim=1)).min(1).values
        return best.values[:, 0] - best.values[:, 1], distances, best.indices[:, 0]

    def verdict(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Whether images [N, C, R, R] are good, and their digits: [N], [N]."""
        clearness, distances, digits = self._look(images)
        return (clearness >= self.least_clear) & (distances <= self.limit), digits


Judge = RingJudge | DigitsJudge


def count(judge: Judge, snapshot: Path, num: int = 1000) -> tuple[int, float, float]:
    """Modes found, the share of good samples, and the samples' high frequencies in units of the data's.

    A mode is found with 1 % of the samples, all good."""
    images = torch.cat(list(generated(load_generator(snapshot), num, seed=1, batch=100))).clamp(-1, 1)
    good, modes = judge.verdict(images)
    found = torch.bincount(modes[good], minlength=judge.num_modes)
    return int((found >= num / 100).sum()), float(good.float().mean()), sharpness(images) / judge.sharpness


def _read(data: Path) -> tuple[Tensor, Tensor]:
    dataset = ImageDataset(data, labels=True)
    return dataset.batch(range(len(dataset)))


def sharpness(images: Tensor) -> float:
    """The energy of images [N, C, R, R] beyond a quarter cycle a pixel."""
    frequencies = HighFrequencies()
    frequencies.update(images)
    return frequencies.mean


def light(images: Tensor) -> Tensor:
    """Images [N, C, R, R] in [-1, 1] as rows of pixels [N, D] in [0, 1]."""
    return (images / 2 + 0.5).flatten(1)


class FaceJudge:
    """Fréchet distances of samples to the first 1,000 faces of a set at a resolution."""

    def __init__(self, data: Path, resolution: int) -> None:
        self.extractor = get_extractor("fd-squeezenet")
        faces = ImageDataset(data, resolution)
        batches = (faces.batch(range(start, start + 50))[0] for start in range(0, min(len(faces), 1000) - 49, 50))
        self.real: FeatureStatistics = collect(batches, self.extractor).statistics

    def distance(self, snapshot: Path, num: int = 500) -> float:
        """The Fréchet distance of `num` samples."""
        samples = generated(load_generator(snapshot), num, seed=1)
        return frechet_distance(collect(samples, self.extractor).statistics, self.real)
