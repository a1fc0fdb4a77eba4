"""Pull a code towards the mean of W."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from editing.operations.base import Edit, OpenCode, Operation, Report
from editing.operations.fields import keep_option, keeping, told_kept
from stylegan_core.options import option

if TYPE_CHECKING:
    from torch import Tensor

    from editing.operations.render import Render
    from stylegan_core.networks.protocol import Generator


@dataclass(frozen=True)
class Truncate(Operation):
    """w' = w_avg + psi * (w - w_avg) (Karras et al. 2019, appendix B)."""

    key: ClassVar[str] = "truncate"
    truncate: float = option(1.0, "psi: w' = w_avg + psi * (w - w_avg); 1 changes nothing; repeat")
    cutoff: int = option(-1, "number of layers that truncation pulls, from the first; -1: all", least=-1)
    keep: str = keep_option()

    @property
    def label(self) -> str:
        """As `psi 0.7`."""
        return f"psi {self.truncate:g}"

    def describe(self) -> str:
        """Say in words what it will do."""
        where = f" in {self.cutoff} layers" if self.cutoff >= 0 else ""
        return f"truncate to psi {self.truncate:g}{where}{told_kept(self.keep)}"

    def resolve(self, generator: Generator, open_code: OpenCode) -> Edit:
        """Take the generator's mean."""
        from editing.truncation import truncate

        cutoff = self.cutoff if self.cutoff >= 0 else None

        def apply(ws: Tensor, render: Render) -> tuple[Tensor, Report]:
            edited = truncate(ws, generator.w_avg, self.truncate, cutoff)
            return edited, {"edits": [{"truncate": self.truncate, "cutoff": cutoff}]}

        return keeping(Edit(self.label, apply), self.keep, adds=False)
