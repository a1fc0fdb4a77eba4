"""Steps that leave the person alone: the part of an edit that changes who it is gets compensated."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from editing.expression import move
from editing.judging import as_face, find_judge
from editing.operations.render import Render
from inversion.faces.judges import Judge, identity_descriptor
from inversion.statistics import w_statistics
from stylegan_core.networks.protocol import Alignment

STEPS = 24
RATE = 0.04  # of the compensation, in standard deviations of W
HOLD_WEIGHT = 0.05  # of the squared change of what the judge says
SPREAD_WEIGHT = 0.002  # of the compensation's mean square, in standard deviations of W


def keep_identity(
    render: Callable[[Tensor], Tensor],
    alignment: Alignment,
    ws: Tensor,
    step: Tensor,
    deviation: Tensor,
    layers: Sequence[int] | None = None,
    judge: Judge | None = None,
) -> Tensor:
    """Return `step` [1, num_ws, w_dim] plus a compensation at right angles to it (in units of `deviation` [w_dim]).

    The compensation minimises the identity distance between the renders of ws + step and ws, with a weight on its
    size, and moves `layers` only (None: all); what the step itself does is left as it is, also in the
    eyes of its `judge` where one is known, since a descriptor takes a smile for a part of the person. Adam, a fixed
    number of steps."""
    step = step.expand_as(ws)
    unit = step / deviation
    unit = unit / unit.norm().clamp_min(1e-12)
    with torch.no_grad():
        wanted = identity_descriptor(as_face(render(ws)), alignment)
        reached = _said(judge, as_face(render(ws + step)), alignment)
    chosen = move(torch.zeros_like(ws), torch.ones_like(ws), 1.0, layers)  # 1 where the layer may move
    free = torch.zeros_like(ws, requires_grad=True)
    optimizer = torch.optim.Adam([free], lr=RATE, betas=(0.9, 0.99))
    best, lowest = step, float("inf")
    for number in range(STEPS + 1):
        across = free * chosen
        across = across - (across * unit).sum() * unit  # in standard deviations of W
        image = as_face(render(ws + step + across * deviation))
        distance = (identity_descriptor(image, alignment) - wanted).square().sum()
        distance = distance + HOLD_WEIGHT * (_said(judge, image, alignment) - reached).square().sum()
        if float(distance.detach()) < lowest:
            best, lowest = (step + across * deviation).detach(), float(distance.detach())
        if number == STEPS:
            break
        optimizer.zero_grad()
        (distance + SPREAD_WEIGHT * across.square().mean()).backward()
        optimizer.step()
    return best


def keep_identity_of(
    render: Render, ws: Tensor, step: Tensor, strength: float, layers: Sequence[int] | None, attribute: str
) -> Tensor:
    """Return `step` [1, num_ws, w_dim], of strength 1, with the compensation that `keep_identity` finds at `strength`;
    `attribute` names the judge of what the step does, empty where none is known."""
    deviation = w_statistics(render.generator)[1].to(ws)
    judge = find_judge(attribute) if attribute else None
    return keep_identity(render, render.alignment, ws, step * strength, deviation, layers, judge) / strength


def _said(judge: Judge | None, image: Tensor, alignment: Alignment) -> Tensor:
    """Return what the judge says in units of a clear change: log odds, or years over `clear`; zeros without one."""
    if judge is None:
        return image.new_zeros(len(image))
    value = judge.score(image, alignment)
    return value.clamp(1e-9, 1 - 1e-6).logit() if judge.unit == "probability" else value / judge.clear
