"""What an operation is. Importing it pulls in no torch, so that commands can offer operations as options."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from stylegan_core.errors import ConfigError
from stylegan_core.models import is_remote
from stylegan_core.options import build, changed_values, flag_of, mistake, options_of, type_mistake, values_of

if TYPE_CHECKING:
    from torch import Tensor

    from editing.operations.render import Render
    from inversion.latents import Latent
    from stylegan_core.networks.protocol import Generator

AUTO = "auto"  # the strength that is looked for on renders
LAYER_RANGE = r"(?:\d+(?:-\d+)?|all|coarse|middle|fine)"
LAYERS_AFTER = re.compile(rf"(.+)@({LAYER_RANGE}(?:,{LAYER_RANGE})*)")
# What a latent's report gains: entries are added to its list `edits`, other keys are set; `notes` are to be told,
# `styles` are a step in style space beside the code's own.
Report = dict[str, Any]
OpenCode = Callable[["str | Latent"], "Latent"]  # from a latent's file, a seed's number, a photo, or a folder of them


@dataclass(frozen=True)
class Edit:
    """An operation that was checked and looked up for one generator; all that is left to do is to apply it."""

    label: str
    apply: Callable[[Tensor, Render], tuple[Tensor, Report]]  # (ws [1, num_ws, w_dim], render) -> (edited ws, report)
    steady: bool = True  # whether it does the same to every code; one that searches on renders flickers in a film
    repeats: bool = False  # whether a film may repeat the step that was found on its first frame


@dataclass(frozen=True)
class Operation:
    """One edit as it was asked for: a frozen dataclass of options. What makes no sense is refused when it is made, what
    does not fit a generator by `resolve`.

    `key` names the field that says what is edited: it is the key of a recipe's `[[edit]]` and the option of commands.
    A new kind of edit is a subclass in a module of its own, and a line in `registry.py`."""

    key: ClassVar[str]

    def __post_init__(self) -> None:
        """Raise `ConfigError` for the first value that makes no sense."""
        for _, reason in self.mistakes(values_of(self)):
            raise ConfigError(reason)

    @classmethod
    def mistakes(cls, values: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Return (option, reason) of everything wrong with some of the options' values."""
        known = options_of(cls)
        found = (
            (name, type_mistake(known[name], v, name) or mistake(known[name], v, name)) for name, v in values.items()
        )
        return [(name, reason) for name, reason in found if reason]

    @classmethod
    def parse(cls, text: str | tuple[str, ...], **given: Any) -> Operation:
        """Read `smile`, `smile:0.8` or `smile:0.8@4-7`: what is edited, then how far and in which layers, where this
        operation has a strength or layers. What the text says goes before what is `given`; raises `ConfigError`."""
        known = options_of(cls)
        values = {name: _part(known[name], value) for name, value in given.items() if name in known}
        if isinstance(text, str) and isinstance(known[cls.key].default, str):
            text, own = _split(text, known, cls.key)
            values |= own
        elif isinstance(text, str):
            text = _number(text, known[cls.key])
        return build(cls, {**values, cls.key: text})

    @classmethod
    def parse_all(cls, texts: Iterable[Any], **given: Any) -> list[Operation]:
        """Read what a command was given for this kind, an operation each; raises `ConfigError`."""
        return [cls.parse(text, **given) for text in texts]

    @property
    def label(self) -> str:
        """Name the operation, as pictures are labelled."""
        value = getattr(self, self.key)
        return f"{self.key} {value:g}" if isinstance(value, float | int) else f"{self.key} {value}"

    def describe(self) -> str:
        """Say in words what it will do."""
        rest = {name: value for name, value in changed_values(self).items() if name != self.key}
        return self.label + "".join(f", {name} {value}" for name, value in rest.items())

    def files(self) -> list[Path]:
        """Return the files and folders that it names."""
        return []

    def check(self, generator: str) -> None:
        """Refuse what can be told before anything is loaded; `generator` is a name or file. Raises `ConfigError`."""

    def doubts(self, generator: str) -> list[str]:
        """Say what will hardly look right; `generator` is a name or file."""
        return []

    def resolve(self, generator: Generator, open_code: OpenCode) -> Edit:
        """Look up what it names, and refuse what does not fit this generator; raises `ToolkitError`."""
        raise NotImplementedError


def _split(text: str, known: Mapping[str, Any], key: str) -> tuple[str, dict[str, Any]]:
    """Split `smile:0.8@4-7` into `smile` and what the rest says."""
    own: dict[str, Any] = {}
    if "layers" in known and (found := LAYERS_AFTER.fullmatch(text)):
        text, own["layers"] = found[1], found[2]
    name, colon, strength = text.rpartition(":")
    if "strength" not in known or not colon or not name:
        return text, own
    try:
        own["strength"] = AUTO if strength == AUTO else float(strength)
    except ValueError:
        if is_remote(text) or known[key].metadata.get("prose"):  # the colon is an address's or a sentence's own
            return text, own
        said = f"{flag_of(known[key])} '{text}'"
        raise ConfigError(f"{said}: '{strength}' is no number; expected NAME or NAME:STRENGTH") from None
    return name, own


def _part(item: Any, value: Any) -> Any:
    """Return the part of a value given to all operations of a command that this one has a use for."""
    return item.metadata.get("part", lambda whole: whole)(value)


def _number(text: str, item: Any) -> Any:
    try:
        return type(item.default)(text)
    except ValueError:
        raise ConfigError(f"{item.name} '{text}' is no {type(item.default).__name__}") from None
