"""The steps of a recipe: what one `[[edit]]` table says."""

from dataclasses import dataclass, fields
from pathlib import Path

from editing.config import DEFAULT_SEARCH, SearchConfig, StrengthType, TransferConfig
from stylegan_core.options import option

SEARCH_KEYS = tuple(item.name for item in fields(SearchConfig))
# What may stand beside each kind of edit; `strength = "auto"` brings the keys of the search.
KINDS = {
    "transfer": ("strength", "layers", "keep", *SEARCH_KEYS),
    "transfer_from": ("strength", *SEARCH_KEYS),
    "crossover": ("layers",),
    "truncate": ("cutoff",),
}


@dataclass(frozen=True)
class EditStep:
    """One `[[edit]]` table: exactly one of the keys of `KINDS`, with what may stand beside it."""

    transfer: str = ""  # a direction's name or file
    strength: float | str = option(1.0, "a number, or auto", type=StrengthType())
    layers: str = ""  # that the transfer moves or the crossover takes: coarse, 4-7, ...; empty: the direction's, or all
    crossover: str = ""  # a latent's file, or the number of a seed, whose layers are taken
    truncate: float = 1.0  # psi; 1 changes nothing
    cutoff: int = -1  # layers that truncate pulls; -1: all
    transfer_from: tuple[str, ...] = ()  # neutral, expression: latents, photos, or folders of them
    keep: str = ""  # directions that the transfer leaves alone, and `identity`
    target: float = DEFAULT_SEARCH.target
    identity_floor: float = DEFAULT_SEARCH.identity_floor
    leak: float = DEFAULT_SEARCH.leak
    judge: str = DEFAULT_SEARCH.judge
    max_strength: float = DEFAULT_SEARCH.max_strength

    @property
    def kind(self) -> str:
        """The key of `KINDS` that it is."""
        return next((kind for kind in ("transfer", "transfer_from", "crossover") if getattr(self, kind)), "truncate")

    @property
    def how(self) -> TransferConfig:
        """What a transfer moves and leaves alone."""
        return TransferConfig(self.layers, self.keep)

    @property
    def search(self) -> SearchConfig:
        """What the strength `auto` looks for."""
        return SearchConfig(**{name: getattr(self, name) for name in SEARCH_KEYS})

    @property
    def files(self) -> list[Path]:
        """The files and folders that it names."""
        named = [text for text in (self.transfer, self.crossover) if text.endswith(".npz")]
        return [Path(text) for text in (*named, *self.transfer_from)]

    @property
    def label(self) -> str:
        """Name the step, as pictures are labelled."""
        where = f" {self.layers}" if self.layers else ""
        strength = self.strength if isinstance(self.strength, str) else f"{self.strength:g}"
        if self.kind == "transfer":
            return f"{Path(self.transfer).stem} {strength}{where}"
        if self.kind == "transfer_from":
            return f"expression {strength}"
        if self.kind == "crossover":
            other = f"seed {self.crossover}" if self.crossover.isdigit() else Path(self.crossover).stem
            return f"layers {self.layers or 'all'} of {other}"
        return f"psi {self.truncate:g}"

    def describe(self) -> str:
        """Say in words what it will do."""
        if self.kind == "crossover":
            return f"take {self.label}"
        if self.kind == "truncate":
            return f"truncate to psi {self.truncate:g}" + (f" in {self.cutoff} layers" if self.cutoff >= 0 else "")
        what = self.transfer or f"the difference of {' and '.join(self.transfer_from)}"
        if isinstance(self.strength, str):
            goal = f"till {self.judge or 'its judge'} says {self.target:g}"
            bounds = f"identity distance {self.identity_floor:g}, change outside the face {self.leak:g}"
            how_far = f"{goal} (at most: strength {self.max_strength:g}, {bounds})"
        else:
            how_far = f"at {self.strength:g}"
        where = f" in layers {self.layers}" if self.layers else ""
        return f"transfer {what} {how_far}{where}" + (f", keeping {self.keep}" if self.keep else "")
