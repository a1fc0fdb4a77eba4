"""Steps that leave the person alone: the part of an edit that changes who it is gets compensated."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from editing.expression import move
from editing.judging import as_face
from inversion.faces.judges import identity_descriptor
from stylegan_core.networks.protocol import Alignment

STEPS = 24
RATE = 0.04  # of the compensation, in standard deviations of W
SPREAD_WEIGHT = 0.002  # of the compensation's mean square, in standard deviations of W


def keep_identity(
    render: Callable[[Tensor], Tensor],
    alignment: Alignment,
    ws: Tensor,
    step: Tensor,
    deviation: Tensor,
    layers: Sequence[int] | None = None,
) -> Tensor:
    """Return `step` [1, num_ws, w_dim] plus a compensation at right angles to it (in units of `deviation` [w_dim]).

    The compensation minimises the identity distance between the renders of ws + step and ws, with a weight on its
    size, and moves `layers` only (None: all); what the step itself does is left as it is. Adam, a fixed number of
    steps."""
    step = step.expand_as(ws)
    unit = step / deviation
    unit = unit / unit.norm().clamp_min(1e-12)
    with torch.no_grad():
        wanted = identity_descriptor(as_face(render(ws)), alignment)
    chosen = move(torch.zeros_like(ws), torch.ones_like(ws), 1.0, layers)  # 1 where the layer may move
    free = torch.zeros_like(ws, requires_grad=True)
    optimiser = torch.optim.Adam([free], lr=RATE, betas=(0.9, 0.99))
    best, lowest = step, float("inf")
    for number in range(STEPS + 1):
        across = free * chosen
        across = across - (across * unit).sum() * unit  # in standard deviations of W
        found = identity_descriptor(as_face(render(ws + step + across * deviation)), alignment)
        distance = (found - wanted).square().sum()
        if float(distance.detach()) < lowest:
            best, lowest = (step + across * deviation).detach(), float(distance.detach())
        if number == STEPS:
            break
        optimiser.zero_grad()
        (distance + SPREAD_WEIGHT * across.square().mean()).backward()
        optimiser.step()
    return best
