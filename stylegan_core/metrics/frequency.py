"""How much fine detail samples have, beside the data's."""

import torch
from torch import Tensor

HIGH = 0.25  # cycles a pixel, half of what the grid can hold: from here on frequencies count as high


class HighFrequencies:
    """Mean energy of images beyond `HIGH`, streaming; features of a network play no part in it."""

    def __init__(self) -> None:
        self.energy, self.num = 0.0, 0

    def update(self, images: Tensor) -> None:
        """Take in images [N, C, R, R] in [-1, 1]."""
        self.energy += float(high_energy(images).sum())
        self.num += len(images)

    @property
    def mean(self) -> float:
        """The mean over all images taken in."""
        return self.energy / max(self.num, 1)


def high_energy(images: Tensor) -> Tensor:
    """Return the energy a pixel beyond `HIGH` [N] of images [N, C, R, R].

    By Parseval's theorem it is a part of the mean square; a Hann window keeps the edges' jump out of it."""
    side = images.shape[-1]
    window = torch.hann_window(side, periodic=False, dtype=torch.float64)
    window = torch.outer(window, window)
    x = images.detach().cpu().double()
    x = (x - x.mean((2, 3), keepdim=True)) * window / window.square().mean().sqrt()
    power = torch.fft.fft2(x).abs().square().mean(1) / side**4  # [N, R, R], sums to the mean square
    frequency = torch.fft.fftfreq(side, dtype=torch.float64)
    radius = torch.hypot(frequency[:, None], frequency[None, :])
    return (power * (radius >= HIGH)).sum((1, 2))
