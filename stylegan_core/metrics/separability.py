"""Linear separability (StyleGAN, section 4.2): how well a plane in the latent space tells an attribute."""

import math

import numpy as np
from numpy.typing import NDArray
from sklearn.svm import LinearSVC
from torch import Tensor

from stylegan_core.errors import ConfigError


def linear_separability(latents: Tensor, scores: Tensor, seed: int = 0) -> float:
    """exp(sum over attributes of H(Y | X)): 1 when planes tell all attributes, 2^(number of attributes) at worst.

    `latents` [N, D] (z, or w for separability in W) of the generated images; `scores` [N, A] the classifiers'
    probabilities of each attribute. The half of which a classifier is least sure is left out, as in the paper."""
    if len(latents) != len(scores):
        raise ConfigError(f"{len(latents)} latents but {len(scores)} rows of scores; give one row a latent")
    entropies = [conditional_entropy(latents, scores[:, index], seed) for index in range(scores.shape[1])]
    return math.exp(sum(entropies))


def conditional_entropy(latents: Tensor, scores: Tensor, seed: int = 0) -> float:
    """H(Y | X) in nats: what remains unknown of the attribute (score > 1/2) given the plane's answer."""
    sure = (scores - 0.5).abs().argsort(descending=True, stable=True)[: max(len(scores) // 2, 1)]
    x: NDArray[np.float64] = latents[sure].double().cpu().numpy()
    y: NDArray[np.int64] = (scores[sure] > 0.5).long().cpu().numpy()
    if len(np.unique(y)) < 2:
        return 0.0  # nothing to tell: the attribute is the same in all images
    scale = x.std(axis=0)
    x = (x - x.mean(axis=0)) / np.where(scale > 0, scale, 1.0)
    answer = LinearSVC(random_state=seed, dual=len(x) <= x.shape[1], max_iter=5000).fit(x, y).predict(x)
    joint = np.zeros((2, 2))
    np.add.at(joint, (answer, y), 1.0 / len(y))
    marginal = joint.sum(axis=1, keepdims=True)
    share = np.divide(joint, marginal, out=np.ones_like(joint), where=joint > 0)
    return float(-(joint * np.log(share)).sum())
