"""Edits in style space: as much of a step of single channels as was asked for, or as a judge needs."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from editing.config import SearchConfig
from editing.judging import find_judge
from editing.operations.render import Render
from editing.strength import find_strength, measure_with, search_report
from stylegan_core.styles import Styles, added


def search_channels(
    render: Render, ws: Tensor, styles: Styles, attribute: str, search: SearchConfig,
    said: Mapping[str, Any], ends: tuple[float, float] | None = None,
) -> tuple[dict[str, Tensor], dict[str, Any]]:  # fmt: skip
    """Return as much of a step in style space as the judge of `attribute` needs at the code ws [1, num_ws, w_dim], and
    `search_report`; `said` and `ends` as `search_step` has them."""

    def shown(strength: Tensor) -> Tensor:
        return render.after({"styles": added({}, styles, float(strength))}).shown(ws, said)

    judge = find_judge(attribute)
    found = find_strength(measure_with(shown, torch.tensor, judge, render.alignment), judge, search, ends)
    return added({}, styles, found.best.strength), search_report(found, search, attribute)
