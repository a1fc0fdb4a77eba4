"""What inversion minimises: every search takes its loss from here, so a new term is written once."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from inversion.config import ProjectionConfig
from inversion.faces.identity import SHIPPED, Identity
from inversion.losses import (
    PERCEPTUAL_SIDE,
    masked,
    masked_squared_error,
    noise_autocorrelation,
    perceptual_features,
    wplus_spread,
)
from stylegan_core.features.perceptual import PerceptualDistance
from stylegan_core.networks.protocol import Alignment

Noise = Mapping[str, Tensor]  # noise inputs [N, 1, H, W] by layer


@dataclass(frozen=True)
class LossWeights:
    """The weights of the terms; a term of weight 0 is not computed."""

    mse: float = 0.0
    perceptual: float = 0.0
    identity: float = 0.0
    wplus: float = 0.0
    noise: float = 0.0

    @classmethod
    def of(cls, config: ProjectionConfig) -> "LossWeights":
        """Return the weights of `project`."""
        return cls(
            config.lambda_mse, config.lambda_percept, config.lambda_identity, config.spread_weight, config.lambda_noise
        )


@dataclass(frozen=True)
class Target:
    """Images that renders are to equal, and what is compared of them."""

    images: Tensor  # [N, C, R, R] in [-1, 1]
    masks: Tensor | None  # [N, 1, R, R] in [0, 1], 1 where the image is visible; None: everywhere
    features: list[Tensor]  # perceptual features; empty without a perceptual term
    identity: Tensor | None  # descriptors [N, D]; None without an identity term

    def rows(self, index: Tensor) -> "Target":
        """Return the targets `index`."""
        return Target(
            self.images[index],
            None if self.masks is None else self.masks[index],
            [layer[index] for layer in self.features],
            None if self.identity is None else self.identity[index],
        )


@dataclass(frozen=True)
class InversionObjective:
    """The weighted terms of codes, [N] each; their sum is the loss."""

    render: Callable[..., Tensor]  # (ws, noise_mode=, noise=) -> images [N, C, R, R]
    weights: LossWeights
    perceptual: PerceptualDistance | None = None  # None leaves the perceptual term out
    w_std: Tensor | None = None  # [w_dim], for the spread of W+
    alignment: Alignment = Alignment()
    person: Identity = SHIPPED  # who a face is, for the identity term
    perceptual_side: int = PERCEPTUAL_SIDE  # pixels at which larger images are compared by perceptual features

    def target(self, images: Tensor, masks: Tensor | None = None) -> Target:
        """Take images [N, C, R, R] in [-1, 1] as what is to be rendered."""
        with torch.no_grad():
            shown = masked(images, masks)
            features = self._features(shown) if self._perceptual else []
            identity = self.person.describe(shown, self.alignment) if self.weights.identity else None
        return Target(images, masks, features, identity)

    def terms(self, ws: Tensor, target: Target, noise: Noise | None = None) -> dict[str, Tensor]:
        """Return all terms at ws [N, num_ws, w_dim], rendered with `noise` where some is given."""
        images = self.render(ws, noise_mode="const", **({"noise": noise} if noise else {}))
        return self.compare(images, target) | self.regularise(ws, noise)

    def compare(self, images: Tensor, target: Target) -> dict[str, Tensor]:
        """Return the terms that tell renders [N, C, R, R] from their targets."""
        weights, terms = self.weights, {}
        if weights.mse:
            terms["mse"] = weights.mse * masked_squared_error(images, target.images, target.masks)
        shown = masked(images, target.masks)
        if self.perceptual and self._perceptual:
            features = self._features(shown)
            terms["perceptual"] = weights.perceptual * self.perceptual.between(features, target.features)
        if target.identity is not None:
            found = self.person.describe(shown, self.alignment)
            terms["identity"] = weights.identity * (found - target.identity).square().sum(dim=1)
        return terms

    def regularise(self, ws: Tensor, noise: Noise | None = None) -> dict[str, Tensor]:
        """Return the terms that keep codes and noise what a generator knows."""
        terms = {}
        if self.weights.wplus and self.w_std is not None:
            terms["wplus"] = self.weights.wplus * wplus_spread(ws, self.w_std)
        if noise and self.weights.noise:
            terms["noise"] = self.weights.noise * noise_autocorrelation(noise.values())
        return terms

    def residuals(self, images: Tensor) -> Iterator[tuple[Tensor, float]]:
        """Give what `compare` squares, as (values, weight): its mse and perceptual terms are sums of weight * values^2,
        but for the target, up to the calibration of the features."""
        yield images, self.weights.mse / images[0].numel()
        if self.perceptual and self._perceptual:
            for level in self._features(images):
                yield level, self.weights.perceptual / level[0, 0].numel()

    def _features(self, images: Tensor) -> list[Tensor]:
        assert self.perceptual is not None
        return perceptual_features(self.perceptual, images, self.perceptual_side)

    @property
    def _perceptual(self) -> bool:
        return self.perceptual is not None and self.weights.perceptual > 0


def total(terms: Mapping[str, Tensor]) -> Tensor:
    """Return the sum of terms [N], [N]."""
    return torch.stack(list(terms.values())).sum(dim=0)
