"""Set a latent once, edit it many times."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from editing.conditional import without
from editing.config import DEFAULT_SEARCH, PLAIN_TRANSFER, SearchConfig, TransferConfig
from editing.crossover import crossover
from editing.directions import Direction, check_direction, find_direction
from editing.expression import move, transfer_expression
from editing.identity import keep_identity
from editing.judging import find_judge
from editing.layers import parse_layers
from editing.strength import find_strength, measure_with, search_report
from editing.truncation import truncate
from inversion.delta import tuned_synthesis
from inversion.latents import Latent, check_generator
from inversion.statistics import w_statistics
from stylegan_core.errors import ConfigError

MAX_STRENGTH = 100.0
AUTO = "auto"
LAYER_RANGE = r"(?:\d+(?:-\d+)?|all|coarse|middle|fine)"
LAYERS_AFTER = re.compile(rf"(.+)@({LAYER_RANGE}(?:,{LAYER_RANGE})*)")


@dataclass(frozen=True)
class Transfer:
    """One edit: a direction's name or file, how far to go ("auto": till its judge is satisfied), in which layers."""

    name: str
    strength: float | str = 1.0
    layers: str = ""  # coarse, 4-7, ...; empty: those of the direction

    @classmethod
    def parse(cls, text: str, strength: float | str = 1.0) -> "Transfer":
        """Read `smile`, `smile:0.8`, `smile:auto` or `smile:0.8@4-7`; what the text says goes before `strength`."""
        found = LAYERS_AFTER.fullmatch(text)
        rest, layers = (found[1], found[2]) if found else (text, "")
        name, colon, own = rest.rpartition(":")
        if not colon or not name:
            return cls(rest, check_strength(strength), layers)
        if own == AUTO:
            return cls(name, AUTO, layers)
        try:
            return cls(name, check_strength(float(own)), layers)
        except ValueError:
            raise ConfigError(f"--transfer '{text}': '{own}' is no number; expected NAME or NAME:STRENGTH") from None


def kept_names(keep: str) -> list[str]:
    """Read the directions of `--keep age,gender,identity`, without `identity`, which is none."""
    return [name for name in (part.strip() for part in keep.split(",")) if name and name != "identity"]


def check_transfers(generator: Any, transfers: Sequence[Transfer], how: TransferConfig, search: SearchConfig) -> str:
    """Refuse transfers that cannot work; return the attribute that the one with strength "auto" is judged by."""
    for name in [*(item.name for item in transfers), *kept_names(how.keep)]:
        find_direction(name, generator)
    for layers in [how.layers, *(item.layers for item in transfers)]:
        if layers:
            parse_layers(layers, generator.num_ws)
    automatic = [item for item in transfers if item.strength == AUTO]
    if not automatic:
        return ""
    if len(automatic) > 1:
        raise ConfigError("only one transfer can have the strength auto; give the others numbers, as age:0.5")
    attribute = search.judge or find_direction(automatic[0].name, generator).attribute
    if not attribute:
        raise ConfigError(f"no judge is known for '{automatic[0].name}', which auto needs; name one with --judge")
    find_judge(attribute)
    return attribute


def check_judge(search: SearchConfig) -> str:
    """Return the name of the judge that a search names; raises `ConfigError` without one."""
    if not search.judge:
        raise ConfigError("no judge is known for a pair's difference, which auto needs; name one with --judge")
    find_judge(search.judge)
    return search.judge


def check_strength(strength: float | str) -> float | str:
    """Return a strength that makes sense, or "auto"; raises `ConfigError`."""
    if strength == AUTO:
        return AUTO
    return check_number(strength)


def check_number(strength: float | str) -> float:
    """Return a strength that is a number within bounds; raises `ConfigError`."""
    if isinstance(strength, str):
        raise ConfigError(f"strength '{strength}': this edit needs a number, since no judge watches it")
    if not -MAX_STRENGTH <= strength <= MAX_STRENGTH:
        raise ConfigError(f"strength {strength:g} is out of bounds; expected -{MAX_STRENGTH:g} to {MAX_STRENGTH:g}")
    return strength


class Editor:
    """Edits of one latent through one generator; every method returns a new latent."""

    def __init__(self, generator: Any, latent: Latent, source: str = "the latent") -> None:
        check_generator(latent, generator, source)
        self.generator, self.latent = generator, latent

    def transfer(
        self,
        transfers: Sequence[Transfer],
        how: TransferConfig = PLAIN_TRANSFER,
        search: SearchConfig = DEFAULT_SEARCH,
    ) -> Latent:
        """Move along several directions at once; the sum does not depend on their order beyond float error.

        One of them may have the strength "auto": it comes last, and its strength is searched for on renders."""
        attribute = check_transfers(self.generator, transfers, how, search)
        ws, edits = self._ws(), []
        for item in transfers:
            if item.strength != AUTO:
                strength = check_number(item.strength)
                step = self._step(ws, item, how, strength)
                ws = move(ws, step, strength)
                edits.append({"transfer": item.name, "strength": strength, **_named(item, how)})
        automatic = [item for item in transfers if item.strength == AUTO]
        if not automatic:
            return self._edited(ws, edits)
        item = automatic[0]
        moved, report = self._search(ws, self._step(ws, item, how, 1.0), attribute, search)
        edits.append({"transfer": item.name, "strength": report["best"]["strength"], "auto": True, **_named(item, how)})
        latent = self._edited(moved, edits)
        return latent.edited(latent.ws, {"strength_search": report})

    def _search(self, ws: Tensor, step: Tensor, attribute: str, search: SearchConfig) -> tuple[Tensor, dict[str, Any]]:
        """Return ws after as much of `step` as the judge of `attribute` needs, and what the report says of it."""
        judge = find_judge(attribute)
        measure = measure_with(
            renderer(self.generator, self.latent),
            lambda strength: move(ws, step, strength),
            judge,
            self.generator.meta.alignment,
        )
        found = find_strength(measure, judge, search)
        return move(ws, step, found.best.strength), search_report(found, search, attribute)

    def _step(self, ws: Tensor, item: Transfer, how: TransferConfig, strength: float) -> Tensor:
        """Return the step of strength 1 [1, num_ws, w_dim] of a transfer at ws, less what is to be kept."""
        generator = self.generator
        direction = find_direction(item.name, generator)
        others = [find_direction(name, generator).vector for name in kept_names(how.keep)]
        vector = without(direction.vector, others, item.name).to(ws)
        layers = item.layers or how.layers
        chosen = parse_layers(layers, generator.num_ws) if layers else direction.layers
        step = move(torch.zeros_like(ws), vector, 1.0, chosen)
        if "identity" not in [name.strip() for name in how.keep.split(",")] or strength == 0:
            return step
        deviation = w_statistics(generator)[1].to(ws)
        judge = find_judge(direction.attribute) if direction.attribute else None
        kept = keep_identity(
            renderer(generator, self.latent), generator.meta.alignment, ws, step * strength, deviation, chosen, judge
        )
        return kept / strength

    def move(self, direction: Direction, strength: float = 1.0) -> Latent:
        """Move along one direction."""
        check_direction(direction, self.generator, direction.name)
        ws = self._ws()
        ws = move(ws, direction.vector.to(ws), check_number(strength), direction.layers)
        return self._edited(ws, [{"transfer": direction.name, "strength": strength}])

    def transfer_from(
        self,
        neutral: Latent,
        expression: Latent,
        strength: float | str = 1.0,
        search: SearchConfig = DEFAULT_SEARCH,
    ) -> Latent:
        """Move by the difference of two other latents: w = w1 + strength * (w3 - w2).

        The strength "auto" is searched for with the judge that `search` names."""
        for other in (neutral, expression):
            check_generator(other, self.generator, "the pair to transfer from")
        ws, device = self._ws(), self.generator.w_avg.device
        before, after = neutral.ws.to(device), expression.ws.to(device)
        if strength == AUTO:
            moved, report = self._search(ws, after - before, check_judge(search), search)
            latent = self._edited(
                moved, [{"transfer_from": "pair", "strength": report["best"]["strength"], "auto": True}]
            )
            return latent.edited(latent.ws, {"strength_search": report})
        number = check_number(strength)
        ws = transfer_expression(ws, before, after, number)
        return self._edited(ws, [{"transfer_from": "pair", "strength": number}])

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

    def _edited(self, ws: Tensor, edits: list[dict[str, Any]]) -> Latent:
        done = self.latent.report.get("edits", [])
        return self.latent.edited(ws.cpu(), {"edits": [*done, *edits]})


def renderer(generator: Any, latent: Latent) -> Callable[[Tensor], Tensor]:
    """Return what renders codes [N, num_ws, w_dim] with a latent's own noise inputs and tuned weights."""
    device = generator.w_avg.device
    noise = {name: level.to(device) for name, level in latent.noise.items()}
    render = tuned_synthesis(generator, latent.delta)
    return lambda ws: render(ws, noise_mode="const", **({"noise": noise} if noise else {}))


def render_code(generator: Any, latent: Latent, origin: bool = False) -> Tensor:
    """Render a latent, or its origin, with its own noise inputs and tuned weights where it has them."""
    ws = (latent.origin if origin else latent.ws).to(generator.w_avg.device)
    with torch.no_grad():
        return renderer(generator, latent)(ws)


def _named(item: Transfer, how: TransferConfig) -> dict[str, str]:
    """Return what of a transfer's ways differs from the plain one."""
    ways = {"layers": item.layers or how.layers, "keep": how.keep}
    return {key: value for key, value in ways.items() if value}
