"""Set a latent once, edit it many times."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from editing.crossover import crossover
from editing.directions import Direction, check_direction, find_direction
from editing.expression import move, transfer_expression
from editing.truncation import truncate
from inversion.latents import Latent, check_generator
from stylegan_core.errors import ConfigError

MAX_STRENGTH = 100.0


@dataclass(frozen=True)
class Transfer:
    """One edit: a direction's name or file, and how far to go."""

    name: str
    strength: float = 1.0

    @classmethod
    def parse(cls, text: str, strength: float = 1.0) -> "Transfer":
        """Read `smile` or `smile:0.8`; the strength of the text goes before `strength`."""
        name, colon, own = text.rpartition(":")
        if not colon or not name:
            return cls(text, check_strength(strength))
        try:
            return cls(name, check_strength(float(own)))
        except ValueError:
            raise ConfigError(f"--transfer '{text}': '{own}' is no number; expected NAME or NAME:STRENGTH") from None


def check_strength(strength: float) -> float:
    """Return a strength that makes sense; raises `ConfigError`."""
    if not -MAX_STRENGTH <= strength <= MAX_STRENGTH:
        raise ConfigError(f"strength {strength:g} is out of bounds; expected -{MAX_STRENGTH:g} to {MAX_STRENGTH:g}")
    return strength


class Editor:
    """Edits of one latent through one generator; every method returns a new latent."""

    def __init__(self, generator: Any, latent: Latent, source: str = "the latent") -> None:
        check_generator(latent, generator, source)
        self.generator, self.latent = generator, latent

    def transfer(self, transfers: Sequence[Transfer]) -> Latent:
        """Move along several directions at once; the sum does not depend on their order beyond float error."""
        ws = self._ws()
        for item in transfers:
            direction = find_direction(item.name, self.generator)
            ws = self._move(ws, direction, item.strength)
        return self._edited(ws, [{"transfer": item.name, "strength": item.strength} for item in transfers])

    def move(self, direction: Direction, strength: float = 1.0) -> Latent:
        """Move along one direction."""
        check_direction(direction, self.generator, direction.name)
        ws = self._move(self._ws(), direction, strength)
        return self._edited(ws, [{"transfer": direction.name, "strength": strength}])

    def transfer_from(self, neutral: Latent, expression: Latent, strength: float = 1.0) -> Latent:
        """Move by the difference of two other latents: w = w1 + strength * (w3 - w2)."""
        for other in (neutral, expression):
            check_generator(other, self.generator, "the pair to transfer from")
        device = self.generator.w_avg.device
        ws = transfer_expression(self._ws(), neutral.ws.to(device), expression.ws.to(device), check_strength(strength))
        return self._edited(ws, [{"transfer_from": "pair", "strength": strength}])

    def truncate(self, psi: float, cutoff: int | None = None) -> Latent:
        """Pull towards the mean of W."""
        ws = truncate(self._ws(), self.generator.w_avg, psi, cutoff)
        return self._edited(ws, [{"truncate": psi, "cutoff": cutoff}])

    def crossover(self, other: Latent, layers: Sequence[int]) -> Latent:
        """Take `layers` from another latent."""
        check_generator(other, self.generator, "the other latent")
        ws = crossover(self._ws(), other.ws.to(self.generator.w_avg.device), layers)
        return self._edited(ws, [{"crossover": list(layers)}])

    def render(self, latent: Latent | None = None) -> Tensor:
        """Render a latent (the one set, if none is given) as [1, C, R, R] in about [-1, 1]."""
        return render_code(self.generator, latent or self.latent)

    def render_origin(self) -> Tensor:
        """Render the inversion that the latent's edits started from."""
        return render_code(self.generator, self.latent, origin=True)

    def _ws(self) -> Tensor:
        return self.latent.ws.to(self.generator.w_avg.device)

    def _move(self, ws: Tensor, direction: Direction, strength: float) -> Tensor:
        return move(ws, direction.vector.to(ws), check_strength(strength), direction.layers)

    def _edited(self, ws: Tensor, edits: list[dict[str, Any]]) -> Latent:
        done = self.latent.report.get("edits", [])
        return self.latent.edited(ws.cpu(), {"edits": [*done, *edits]})


def render_code(generator: Any, latent: Latent, origin: bool = False) -> Tensor:
    """Render a latent, or its origin, with its own noise inputs where it has them."""
    device = generator.w_avg.device
    ws = (latent.origin if origin else latent.ws).to(device)
    noise = {name: level.to(device) for name, level in latent.noise.items()}
    with torch.no_grad():
        return generator.synthesis(ws, noise_mode="const", **({"noise": noise} if noise else {}))
