"""Adaptive discriminator augmentation (Karras et al. 2020): transforms with a common probability p, and its control."""

from stylegan_core.augment.adaptive import AdaptiveProbability
from stylegan_core.augment.pipeline import GROUPS, augment, parse_groups

__all__ = ["GROUPS", "AdaptiveProbability", "augment", "parse_groups"]
