"""The same edit for every frame of a film."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from editing.directions import find_direction
from editing.editor import Transfer, check_number
from editing.expression import move
from editing.layers import parse_layers


def codes_change(transfers: Sequence[str]) -> Callable[[Any], Callable[[Tensor], Tensor]]:
    """Return a function from a generator to the edit of its codes [N, num_ws, w_dim] that `transfers` name.

    One strength serves all frames, so it is a number: a strength searched for frame by frame would flicker."""
    steps = [Transfer.parse(text) for text in transfers]

    def for_generator(generator: Any) -> Callable[[Tensor], Tensor]:
        moves = []
        for step in steps:
            direction = find_direction(step.name, generator)
            layers = tuple(parse_layers(step.layers, generator.num_ws)) if step.layers else direction.layers
            moves.append((direction.vector, check_number(step.strength), layers))

        def change(ws: Tensor) -> Tensor:
            for vector, strength, layers in moves:
                ws = move(ws, vector.to(ws), strength, layers)
            return ws

        return change

    return for_generator
