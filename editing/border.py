"""Edits that leave the picture's rim alone: neck, hair and shoulders stay where they are."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from editing.dials import natural_axes
from editing.judging import as_face, find_judge
from editing.operations.render import Render
from inversion.faces.judges import Judge, judge_region
from stylegan_core.networks.protocol import Alignment

RIM = 0.1  # how wide the rim is, of the picture's side
BOUND = 0.005  # mean change of the rim that is allowed, of the range of pixel values
ENOUGH = 0.75 * BOUND  # where the search ends, once the face is as the edit wants it
FADES = 11  # depths from which the picture is tried to fade
STEPS = 60  # of Adam at most
RATE = 0.06  # in standard deviations of W along its principal axes
FACE_WEIGHT = 2.0  # of the face's squared change by the compensation, in units of what the edit changed there
HOLD_WEIGHT = 0.25  # of what the judge says otherwise, in clear changes times log odds
STEADY = 0.03  # share of what the edit did for the judge that may get lost,
LEAST_GAIN = 0.2  # where it did as much, in clear changes
SPREAD_WEIGHT = 3e-4  # of the compensation's mean square, in standard deviations of W


@dataclass(frozen=True)
class Held:
    """A code whose render has the rim of another."""

    ws: Tensor  # [1, num_ws, w_dim]
    before: float  # mean absolute change of the rim by the edit alone, of the range of pixel values
    after: float  # and with what was added to it
    shown: float  # and in the picture, where `fade_rim` takes the rest


def hold_border(
    render: Callable[[Tensor], Tensor], ws: Tensor, before: Tensor, axes: Tensor, alignment: Alignment,
    judge: Judge | None = None,
) -> Held:  # fmt: skip
    """Return the code near ws [1, num_ws, w_dim] whose render has the rim of `before` [1, C, R, R], and the face of ws.

    What is added minimises, in units of what the edit did, the squared change of the rim and that of the region which
    the judges look at, and holds what `judge` says of the edited face, where one is known. It is sought by Adam along
    `axes` [K, w_dim], W's principal axes, in every layer; the code is returned whose rim changes least beyond what is
    allowed, and which loses least of what the judge gained."""
    rim, face = rim_of(before.shape[-1]).to(ws.device), face_of(before.shape[-1], alignment).to(ws.device)
    with torch.no_grad():
        start, edited = as_face(before), as_face(render(ws))
        (value, odds), (untouched, _) = (_said(judge, image, alignment) for image in (edited, start))
        gain = value - untouched
    done = (edited - start).square().mean(dim=(0, 1))  # [R, R]
    scales = [done[area].mean().clamp_min(1e-12) for area in (rim, face)]
    first = rim_change(start, edited)
    best, kept, shown, free = (
        float("inf"),
        Held(ws, first, first, first),
        edited,
        ws.new_zeros(ws.shape[1], len(axes)).requires_grad_(),
    )
    optimizer = torch.optim.Adam([free], lr=RATE, betas=(0.9, 0.99))
    for number in range(STEPS + 1):
        code = ws + (free @ axes)[None]
        image = as_face(render(code))
        value_now, odds_now = _said(judge, image, alignment)
        change = (value_now - value).detach()
        found = rim_change(start, image.detach())
        lost = float((-change * gain.sign() / gain.abs().clamp_min(LEAST_GAIN)).max())  # share of the gain
        missing = max(0.0, found - ENOUGH) / max(first, BOUND) + max(0.0, lost - STEADY)
        if missing < best:
            best, kept, shown = missing, Held(code.detach(), first, found, found), image.detach()
        if missing == 0 or number == STEPS:
            break
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 - 0.9 * number / STEPS)
        loss = (image - start).square().mean(dim=(0, 1))[rim].mean() / scales[0]
        loss = loss + FACE_WEIGHT * (image - edited).square().mean(dim=(0, 1))[face].mean() / scales[1]
        # A probability hardly pulls where it is near 0, log odds pull for nothing where they are large: the product.
        loss = loss + HOLD_WEIGHT * (change.abs() * (odds_now - odds).abs()).sum()
        loss = loss + SPREAD_WEIGHT * free.square().sum() / len(free)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return replace(kept, shown=rim_change(start, fade_rim(start, shown)))


def hold_border_of(render: Render, ws: Tensor, before: Tensor, attribute: str) -> Held:
    """Return what `hold_border` finds for the face of a `Render`; `attribute` names the judge of what the edit does,
    empty where none is known."""
    axes = natural_axes(render.generator)[1].to(ws)
    return hold_border(render, ws, before, axes, render.alignment, find_judge(attribute) if attribute else None)


def fade_rim(before: Tensor, after: Tensor) -> Tensor:
    """Return the picture `after` [1, C, R, R], whose rim goes over into that of `before` where it changes by more than
    `BOUND`: from the edge inwards, as late as is enough.

    What a code cannot hold, as hair beside a head that turns, is small once `hold_border` was there, and so fades."""
    if rim_change(before, after) <= BOUND:
        return after
    depth, shown = _depth(before.shape[-1]).to(before), before
    for start in torch.linspace(0, RIM, FADES)[:-1].tolist():
        share = ((depth - start) / (RIM - start)).clamp(0, 1)
        shown = before + share * share * (3 - 2 * share) * (after - before)  # smoothstep
        if rim_change(before, shown) <= BOUND:
            break
    return shown


def keeps_border(edits: object) -> bool:
    """Tell whether a report's list of edits has some, and all of them keep the rim."""
    return isinstance(edits, list) and bool(edits) and all(isinstance(e, dict) and "border" in e for e in edits)


def rim_change(before: Tensor, after: Tensor) -> float:
    """Return the mean absolute change of the rim of pictures [1, C, R, R] in [-1, 1], as a share of the range."""
    return float((after - before).abs().mean(dim=(0, 1))[rim_of(before.shape[-1]).to(before.device)].mean()) / 2


def rim_of(resolution: int) -> Tensor:
    """Return a mask [R, R], true within `RIM` of the picture's edge."""
    return _depth(resolution) < RIM


def _depth(resolution: int) -> Tensor:
    """Return how far each pixel [R, R] is from the picture's edge, as a share of its side."""
    place = (torch.arange(resolution) + 0.5) / resolution
    edge = torch.minimum(place, 1 - place)
    return torch.minimum(edge[:, None], edge[None, :])


def face_of(resolution: int, alignment: Alignment) -> Tensor:
    """Return a mask [R, R], true in the region that the judges look at and outside the rim."""
    left, top, right, bottom = judge_region(alignment)
    place = (torch.arange(resolution) + 0.5) / resolution
    columns, rows = (place >= left) & (place < right), (place >= top) & (place < bottom)
    return rows[:, None] & columns[None, :] & ~rim_of(resolution)


def _said(judge: Judge | None, image: Tensor, alignment: Alignment) -> tuple[Tensor, Tensor]:
    """Return what the judge says in clear changes, and as log odds (years: in clear changes); zeros without one."""
    if judge is None:
        return image.new_zeros(1), image.new_zeros(1)
    score = judge.score(image, alignment)
    value = score / judge.clear
    return value, score.clamp(1e-9, 1 - 1e-6).logit() if judge.unit == "probability" else value
