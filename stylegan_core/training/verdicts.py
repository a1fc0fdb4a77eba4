"""What a discriminator says of real and generated images over a step, and whether it says anything at all."""

import torch
from torch import Tensor

from stylegan_core.errors import TrainingError

QUANTILES = (5, 25, 50, 75, 95)  # per cent, of D's outputs
PATIENCE = 50  # steps in a row that a critic may judge everything alike
ALIKE = 1e-5  # spread of outputs, in units of the largest
VANISHED = 1e-9  # spread under which no optimiser moves G: an order below Adam's epsilon


class Verdicts:
    """D's outputs on real and generated images: means and quantiles for the log, and how long they say nothing."""

    names = ("real_logits", "fake_logits", *(f"{kind}_{q:02d}" for kind in ("real", "fake") for q in QUANTILES))

    def __init__(self) -> None:
        self.real: list[Tensor] = []
        self.fake: list[Tensor] = []
        self.num_steps = 0
        self.num_alike = 0  # steps in a row, up to now

    def begin(self) -> None:
        """Forget the outputs of the step before."""
        self.real, self.fake = [], []

    def add(self, real: Tensor, fake: Tensor) -> None:
        """Take in outputs, of any shape."""
        self.real.append(real.detach().flatten().float().cpu())
        self.fake.append(fake.detach().flatten().float().cpu())

    def values(self) -> list[float]:
        """The numbers that `names` name, for this step; and count whether all outputs were alike."""
        real, fake = torch.cat(self.real), torch.cat(self.fake)
        both = torch.cat([real, fake])
        spread, largest = float(both.max() - both.min()), float(both.abs().max())
        self.num_steps += 1
        self.num_alike = self.num_alike + 1 if spread <= max(ALIKE * largest, VANISHED) else 0
        levels = torch.tensor(QUANTILES) / 100
        quantiles = [value for x in (real, fake) for value in torch.quantile(x, levels).tolist()]
        return [float(real.mean()), float(fake.mean()), *quantiles]

    def check(self, objective: str, ending: bool = False) -> None:
        """Raise `TrainingError` where D judges everything alike for `PATIENCE` steps, at the end for half of all."""
        enough = max(self.num_steps // 2, 1) if ending else PATIENCE
        if self.num_alike >= enough:
            raise TrainingError(
                f"the critic gives the same value to every image, real or generated, since {self.num_alike} steps, so "
                f"the generator learns nothing ({objective}); "
                + (
                    "raise --clip, or take --objective wgan-gp"
                    if objective == "wgan"
                    else "lower --lr-d and the weights of its penalties"
                )
            )
