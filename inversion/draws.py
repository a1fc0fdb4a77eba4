"""Edits drawn at random, for searches that are to leave edits what they were."""

import torch
from torch import Tensor

from inversion.statistics import random_ws
from stylegan_core.directions import shipped_directions
from stylegan_core.networks.protocol import Generator

STRENGTHS = (-1.0, 2.0)  # of drawn edits along directions
DIFFERENCE = 0.5  # size at most of drawn edits where there are no directions, of the difference of two random w


class EditDraws:
    """Draws steps in W+ that edits of this generator take."""

    def __init__(self, generator: Generator, like: Tensor) -> None:
        self.generator = generator
        self.directions = [
            direction.vector.to(like)
            for direction in shipped_directions(generator.meta.fingerprint).values()
            if direction.attribute
        ]

    def draw(self, stream: torch.Generator) -> Tensor:
        """Return one of the generator's directions at some strength, or a part of the difference of two random w.

        [1, 1 or num_ws, w_dim]."""
        share = float(torch.rand(1, generator=stream))
        if not len(self.directions):
            one, other = random_ws(self.generator, 2, stream).split(1)
            return share * DIFFERENCE * (one - other)
        pick = int(torch.randint(len(self.directions), (1,), generator=stream))
        return (STRENGTHS[0] + share * (STRENGTHS[1] - STRENGTHS[0])) * self.directions[pick]
