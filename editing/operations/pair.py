"""Move by the difference of two other codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from editing.config import DEFAULT_SEARCH, SearchConfig, check_target
from editing.operations.base import AUTO, Edit, OpenCode, Operation, Report
from editing.operations.fields import (
    EXPRESSION,
    check_code,
    files_of,
    is_latent,
    keep_option,
    keeping,
    strength_option,
    told_kept,
    told_strength,
)
from stylegan_core.options import group, option

if TYPE_CHECKING:
    from torch import Tensor

    from editing.operations.render import Render
    from stylegan_core.networks.protocol import Generator

NO_JUDGE = "the strength auto needs a judge, which the difference of a pair has none of; name one with --judge"


@dataclass(frozen=True)
class TransferFrom(Operation):
    """w = w1 + strength * (w3 - w2), for the codes (w2, w3) of somebody neutral and with an expression."""

    key: ClassVar[str] = "transfer_from"
    transfer_from: tuple[Any, ...] = option(
        (), "w1 + strength * (w3 - w2): two latents or photos, or two folders of them; repeat",
        num=2, metavar="NEUTRAL EXPRESSION", also=is_latent,
    )  # fmt: skip
    strength: float | str = strength_option()
    search: SearchConfig = group(DEFAULT_SEARCH, beside=("strength", AUTO))
    keep: str = keep_option()

    @classmethod
    def mistakes(cls, values: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Also refuse "auto" without a judge."""
        unjudged = values.get("strength") == AUTO and not values.get("judge")
        return super().mistakes(values) + ([("strength", NO_JUDGE)] if unjudged else [])

    @property
    def label(self) -> str:
        """As `expression 0.8`."""
        return f"expression {told_strength(self.strength)}"

    def describe(self) -> str:
        """Say in words what it will do."""
        how_far = self.search.describe() if self.strength == AUTO else f"at {told_strength(self.strength)}"
        return (
            f"transfer the difference of {' and '.join(map(str, self.transfer_from))} {how_far}{told_kept(self.keep)}"
        )

    def files(self) -> list[Path]:
        """Return the pair's files or folders."""
        return files_of(*self.transfer_from)

    def check(self, generator: str) -> None:
        """Refuse a pair of which one is an option or missing, and a target that its judge cannot say."""
        for code in self.transfer_from:
            if isinstance(code, str):
                check_code(code, "--transfer-from takes two latents, photos or folders, NEUTRAL EXPRESSION")
        if self.strength == AUTO:
            check_target(self.search, self.search.judge)

    def resolve(self, generator: Generator, open_code: OpenCode) -> Edit:
        """Open the pair's codes."""
        from editing.expression import move
        from editing.strength import search_step
        from inversion.latents import check_generator

        before, after = (open_code(code) for code in self.transfer_from)
        for other in (before, after):
            check_generator(other, generator, "the pair to transfer from")
        step = after.ws.to(generator.w_avg.device) - before.ws.to(generator.w_avg.device)

        def apply(ws: Tensor, render: Render) -> tuple[Tensor, Report]:
            said = {"transfer_from": "pair", "appearance": EXPRESSION}
            if not isinstance(self.strength, str):
                return move(ws, step, self.strength), {"edits": [{**said, "strength": self.strength}]}
            said["judge"] = self.search.judge
            moved, found = search_step(render, ws, step, self.search.judge, self.search, said)
            edit = {**said, "strength": found["best"]["strength"], "auto": True}
            return moved, {"edits": [edit], "strength_search": found}

        edit = Edit(self.label, apply, steady=self.strength != AUTO)
        return keeping(edit, self.keep, self.search.judge, adds=edit.steady)
