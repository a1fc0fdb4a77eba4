"""Take layers of another code."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from editing.operations.base import Edit, OpenCode, Operation, Report
from editing.operations.fields import (
    check_code,
    files_of,
    is_latent,
    keep_option,
    keeping,
    layers_option,
    told_code,
    told_kept,
)
from stylegan_core.options import option

if TYPE_CHECKING:
    from torch import Tensor

    from editing.operations.render import Render
    from stylegan_core.networks.protocol import Generator


@dataclass(frozen=True)
class Crossover(Operation):
    """Style mixing (Karras et al. 2019, section 3.1): the code with some layers of another's."""

    key: ClassVar[str] = "crossover"
    crossover: Any = option(
        "", "latent, photo, or seed whose layers are taken, as other.npz@4-7; repeat", also=is_latent, metavar="CODE"
    )  # a latent's file, a photo, a seed's number, or a `Latent`
    layers: str = layers_option()
    keep: str = keep_option()

    @property
    def label(self) -> str:
        """As `layers coarse of other`."""
        return f"layers {self.layers or 'all'} of {told_code(self.crossover)}"

    def describe(self) -> str:
        """Say in words what it will do."""
        return f"take {self.label}{told_kept(self.keep)}"

    def files(self) -> list[Path]:
        """Return the other code's file, if it is one."""
        return files_of(self.crossover)

    def check(self, generator: str) -> None:
        """Refuse another code that there is not."""
        if isinstance(self.crossover, str):
            check_code(self.crossover, "--crossover takes a latent, a photo, or the number of a seed")

    def resolve(self, generator: Generator, open_code: OpenCode) -> Edit:
        """Open the other code."""
        from editing.crossover import crossover
        from editing.layers import parse_layers
        from inversion.latents import check_generator

        layers = parse_layers(self.layers or "all", generator.num_ws)
        other = open_code(self.crossover)
        check_generator(other, generator, "the other latent")
        codes = other.ws.to(generator.w_avg.device)

        def apply(ws: Tensor, render: Render) -> tuple[Tensor, Report]:
            return crossover(ws, codes, layers), {"edits": [{"crossover": list(layers)}]}

        return keeping(Edit(self.label, apply), self.keep, adds=False)
