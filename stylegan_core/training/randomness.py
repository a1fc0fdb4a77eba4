"""All random inputs of a step as a function of seed and step, so that resuming and splitting a batch change nothing."""

from dataclasses import dataclass

import torch
from torch import Tensor

from stylegan_core.seeds import generator_for

_STREAMS = (
    "latents",
    "labels",
    "mixing",
    "noise",
    "augment-real",
    "augment-fake",
    "probe",
    "history",
    "penalty",
    "bcr-real",
    "bcr-fake",
    "crop",
)
_PHASES = ("g", "g-reg", "d", "d-reg")


@dataclass(frozen=True)
class Shard:
    """Which samples of the whole batch a pass works on: those at index, index + stride, ... .

    Striding, rather than cutting, keeps the groups of the minibatch standard deviation those of the whole batch."""

    index: int = 0
    stride: int = 1

    def of(self, whole: Tensor) -> Tensor:
        """Take this shard's rows of a tensor made for the whole batch."""
        return whole[self.index :: self.stride]


@dataclass(frozen=True)
class Stream:
    """The random inputs of one phase of one step, drawn on the CPU for `num` samples: the whole batch."""

    seed: int
    step: int
    phase: str  # one of g, g-reg, d, d-reg
    num: int

    def rng(self, name: str) -> torch.Generator:
        """A fresh random stream for a purpose."""
        place = (self.step * len(_PHASES) + _PHASES.index(self.phase)) * len(_STREAMS) + _STREAMS.index(name)
        return generator_for(self.seed, place)

    def latents(self, z_dim: int) -> Tensor:
        """Two sets of z for style mixing, [num, 2, z_dim]."""
        return torch.randn(self.num, 2, z_dim, generator=self.rng("latents"))

    def crossovers(self, num_ws: int, probability: float) -> Tensor:
        """The layer [num] from which the second z's ws are used; num_ws where styles are not mixed."""
        rng = self.rng("mixing")
        mixed = torch.rand(self.num, generator=rng) < probability
        layer = torch.randint(1, max(num_ws, 2), (self.num,), generator=rng)
        return torch.where(mixed & (layer < num_ws), layer, num_ws)

    def picks(self, num_items: int) -> list[int]:
        """Items drawn with replacement, for the labels of generated images."""
        return torch.randint(num_items, (self.num,), generator=self.rng("labels")).tolist()

    def noise(self, sizes: dict[str, tuple[int, int]], shard: Shard, device: torch.device) -> dict[str, Tensor]:
        """Noise inputs [n, 1, H, W] by layer name; drawn on `device`, since they are large."""
        rng = torch.Generator(device).manual_seed(self.rng("noise").initial_seed())
        return {
            name: shard.of(torch.randn(self.num, 1, *size, generator=rng, device=device))
            for name, size in sizes.items()
        }
