"""Directions of what a data set's own words say of its photos, and a classifier that finds the same in renders."""

from dataclasses import dataclass

import torch
from torch import Tensor

from inversion.encoder import find_encoder, guess_w
from inversion.faces.attributes import PROBABILITY
from inversion.faces.judges import Judge
from inversion.losses import perceptual_features
from stylegan_core.errors import ConfigError, DatasetError
from stylegan_core.features.perceptual import PerceptualDistance, load_perceptual
from stylegan_core.metrics.classifier import Classifier, fit_classifier
from stylegan_core.networks.protocol import Alignment, Generator
from stylegan_core.progress import progress_bar
from stylegan_core.training.dataset import ImageDataset, left_out, names_in

BATCH = 16
GRID = 4  # places a side that features are averaged over, so that it counts where something is seen
CLEAR = 0.5  # of the classifier's probability


@dataclass(frozen=True)
class NamedFaces:
    """Faces of a data set, their codes, and which of them have what was named."""

    w: Tensor  # [N, w_dim]: the encoder's codes
    named: Tensor  # [N] of 0 and 1
    features: Tensor  # [N, D] of the photos


def named_faces(generator: Generator, data: str, words: str, exclude: str = "", holdout: int = 0) -> NamedFaces:
    """Read aligned faces whose attributes.csv has a column `condition`; those that name one of `words` are named."""
    if find_encoder(generator) is None:
        raise ConfigError(f"no encoder for {generator.meta.name} is shipped; give a CSV of latents as --labels")
    images = ImageDataset(data, generator.img_resolution)
    rows = images.attributes()
    if not any("condition" in row for row in rows.values()):
        raise DatasetError(f"{data}: no attributes.csv with a column `condition`; give a CSV of labels as --labels")
    wanted = [word.lower() for word in names_in(words)]
    persons, perceptual = names_in(exclude), load_perceptual("auto", generator.w_avg.device)
    kept = [i for i, name in enumerate(images.files.names) if not left_out(rows.get(name, {}), i, persons, holdout)]
    codes, named, features = [], [], []
    for start in progress_bar(range(0, len(kept), BATCH), desc="faces", leave=False):
        part = kept[start : start + BATCH]
        photos = torch.cat([images.batch([index])[0] for index in part]).to(generator.w_avg.device)
        codes.append(guess_w(generator, photos))
        features.append(pooled(perceptual, photos))
        conditions = [rows.get(images.files.names[index], {}).get("condition", "").lower() for index in part]
        named += [float(any(word in text for word in wanted)) for text in conditions]
    if sum(named) < 2 or sum(named) > len(named) - 2:
        raise DatasetError(
            f"{data}: {sum(named):.0f} of {len(named)} faces name {words}; a direction needs many of each"
        )
    return NamedFaces(torch.cat(codes), torch.tensor(named), torch.cat(features))


@torch.no_grad()
def pooled(perceptual: PerceptualDistance, faces: Tensor) -> Tensor:
    """Return perceptual features averaged over GRID x GRID places, [N, D]."""
    levels = perceptual_features(perceptual, faces)[-3:]
    return torch.cat([torch.nn.functional.adaptive_avg_pool2d(level, GRID).flatten(1) for level in levels], dim=1)


def classifier_judge(faces: NamedFaces, device: torch.device) -> tuple[Judge, Classifier]:
    """Fit a classifier to the photos, and return it as a judge of renders too (a probability)."""
    labels = torch.stack([1 - faces.named, faces.named], dim=1)
    classifier = fit_classifier(faces.features, labels)
    perceptual = load_perceptual("auto", device)

    def score(images: Tensor, alignment: Alignment) -> Tensor:
        return classifier(pooled(perceptual, images)).softmax(dim=1)[:, 1].to(images)

    return Judge(score, PROBABILITY, 0.05, CLEAR), classifier
