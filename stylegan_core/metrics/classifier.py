"""A linear classifier on fixed features: trained here on labelled images, or a user's own."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from stylegan_core.checkpoints.native import read_safetensors, write_safetensors
from stylegan_core.errors import ConfigError, DatasetError

HELD_OUT = 5  # every fifth image tests what the others have trained
MIN_IMAGES = 10


@dataclass(frozen=True)
class Classifier:
    """Class logits that are linear in features."""

    weight: Tensor  # [K, D]
    bias: Tensor  # [K]
    accuracy: float = math.nan  # on images that it was not trained on
    majority: float = math.nan  # accuracy of always saying the commonest class

    def __call__(self, features: Tensor) -> Tensor:
        """Return logits [N, K] for features [N, D]."""
        if features.shape[1] != self.weight.shape[1]:
            raise ConfigError(
                f"the classifier is for {self.weight.shape[1]} features, these are {features.shape[1]}; "
                "take the --features it was trained in"
            )
        return features.float().cpu() @ self.weight.T + self.bias


def fit_classifier(features: Tensor, labels: Tensor) -> Classifier:
    """Fit a multinomial logistic regression to features [N, D] of images with one-hot `labels` [N, K]."""
    rows, one_hot = features.double().cpu().numpy(), labels.cpu().numpy()
    classes = one_hot.argmax(1)
    if not (np.isin(one_hot, (0, 1)).all() and (one_hot.sum(1) == 1).all()):
        raise DatasetError("the data's labels are no classes; a classifier needs class numbers in dataset.json")
    if len(rows) < MIN_IMAGES or len(np.unique(classes)) < 2:
        raise DatasetError(f"a classifier needs {MIN_IMAGES} labelled images and 2 classes or more; got {len(rows)}")
    order = np.random.default_rng(0).permutation(len(rows))
    test = order % HELD_OUT == 0
    if len(np.unique(classes[~test])) < len(np.unique(classes)):
        raise DatasetError("a class has too few images to train a classifier on; label more of them, or leave it out")
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500)).fit(rows[~test], classes[~test])
    accuracy = float((model.predict(rows[test]) == classes[test]).mean())
    majority = float((classes[test] == np.bincount(classes[~test]).argmax()).mean())
    scaler, fitted = model[0], model[1]
    weight = fitted.coef_ / scaler.scale_
    bias = fitted.intercept_ - weight @ scaler.mean_
    if len(weight) == 1:  # of two classes sklearn keeps the second's alone
        weight, bias = np.concatenate([0 * weight, weight]), np.concatenate([0 * bias, bias])
    all_weights, all_biases = np.zeros((one_hot.shape[1], rows.shape[1])), np.full(one_hot.shape[1], -1e3)
    all_weights[fitted.classes_], all_biases[fitted.classes_] = weight, bias
    whole, offsets = torch.from_numpy(all_weights).float(), torch.from_numpy(all_biases).float()
    return Classifier(whole, offsets, accuracy, majority)


def save_classifier(path: str, classifier: Classifier) -> None:
    """Write a classifier as safetensors: `weight` [K, D] and `bias` [K]."""
    header = {"accuracy": repr(classifier.accuracy), "majority": repr(classifier.majority)}
    write_safetensors(Path(path), {"weight": classifier.weight, "bias": classifier.bias}, header)


def load_classifier(path: str) -> Classifier:
    """Read what `save_classifier` wrote, or anybody's linear classifier of that shape."""
    tensors, _ = read_safetensors(Path(path))
    weight, bias = tensors.get("weight"), tensors.get("bias")
    if weight is None or bias is None or weight.ndim != 2 or tuple(bias.shape) != (len(weight),):
        raise ConfigError(f"{path}: a classifier has `weight` [classes, features] and `bias` [classes]; it has not")
    if not (weight.isfinite().all() and bias.isfinite().all()):
        raise ConfigError(f"{path}: NaN or infinite values in the classifier; train it again")
    return Classifier(weight.float(), bias.float())


def count_modes(logits: Tensor, share: float = 0.1) -> tuple[int, float]:
    """Count classes that samples with `logits` [N, K] cover, and KL(samples' classes || uniform) in nats.

    A class counts with `share` of an equal part of the samples, N / K, or more."""
    counts = torch.bincount(logits.argmax(1), minlength=logits.shape[1]).double()
    parts = counts / counts.sum()
    divergence = float(torch.xlogy(parts, parts * len(parts)).sum())
    return int((counts >= share * counts.sum() / len(counts)).sum()), divergence
