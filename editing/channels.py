"""Edits in style space: as much of a step of single channels as was asked for, or as a judge needs."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from editing.config import SearchConfig
from editing.judging import find_judge
from editing.operations.base import Edit, Report
from editing.operations.render import Render
from editing.strength import find_strength, measure_with, search_report
from stylegan_core.styles import Styles, added


def channel_edit(
    label: str, styles: Styles, said: Mapping[str, Any], strength: float | str, attribute: str, search: SearchConfig,
    ends: tuple[float, float] | None = None,
) -> Edit:  # fmt: skip
    """Return the edit that moves single channels, by as much for every code: by `styles` times `strength`, or as much
    as the judge of `attribute` needs where that is "auto". `said` is what the report says of it."""

    def apply(ws: Tensor, render: Render) -> tuple[Tensor, Report]:
        known = {**said, **({"judge": attribute} if attribute else {})}
        if not isinstance(strength, str):
            return ws, {"edits": [{**known, "strength": strength}], "styles": added({}, styles, strength)}
        step, found = search_channels(render, ws, styles, attribute, search, known, ends)
        edit = {**known, "strength": found["best"]["strength"], "auto": True}
        return ws, {"edits": [edit], "strength_search": found, "styles": step}

    return Edit(label, apply, steady=not isinstance(strength, str))


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
