"""The Inception score (Salimans et al. 2016)."""

import torch
from torch import Tensor

from stylegan_core.errors import ConfigError


class InceptionScore:
    """exp(E KL(p(y|x) || p(y))), streaming and mergeable in float64."""

    def __init__(self, num_classes: int) -> None:
        self.num = 0
        self.sum = torch.zeros(num_classes, dtype=torch.float64)  # of p(y|x)
        self.negative_entropy = 0.0  # sum over samples of sum_y p log p

    def update(self, logits: Tensor) -> None:
        """Take in class logits [N, num_classes]."""
        log_p = logits.detach().cpu().double().log_softmax(1)
        p = log_p.exp()
        self.num += len(p)
        self.sum += p.sum(0)
        self.negative_entropy += float((p * log_p).sum())

    def merge(self, other: "InceptionScore") -> None:
        """Take in the sums of other samples."""
        self.num += other.num
        self.sum += other.sum
        self.negative_entropy += other.negative_entropy

    def value(self) -> float:
        """Return the score, 1 (all samples alike) to the number of classes."""
        if self.num == 0:
            raise ConfigError("an Inception score needs samples; none came")
        marginal = self.sum / self.num
        entropy = -float(torch.xlogy(marginal, marginal).sum())
        return float(torch.tensor(self.negative_entropy / self.num + entropy, dtype=torch.float64).exp())
