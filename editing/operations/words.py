"""Operations on the command line: one option for each kind, and one for each of their other fields."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import click

from editing.operations.base import AUTO, Operation
from editing.operations.registry import OPERATIONS
from stylegan_core.errors import ConfigError
from stylegan_core.grouped_help import GroupedOption
from stylegan_core.options import click_option, flag_of, options_of

WHAT, HOW = "What to edit", "How strong, and where"  # headings of `--help`
EVERYDAY = ("strength", "layers", "keep", "target")


@dataclass(frozen=True)
class EditWords:
    """What a command was given to edit by: texts for each operation's key, and the fields that they share."""

    texts: Mapping[str, tuple[Any, ...]]
    shared: Mapping[str, Any]

    def operations(self) -> list[Operation]:
        """Read the operations, in the order of `OPERATIONS`, of each kind the ones with the strength "auto" last.

        Raises `ConfigError` for words that make no sense, and for an option that none of the operations has."""
        kinds = {key: kind for key, kind in OPERATIONS.items() if self.texts.get(key)}
        self._refuse_unused(kinds)
        found: list[Operation] = []
        for key, kind in kinds.items():
            made = kind.parse_all(self.texts[key], **self.shared)
            found += sorted(made, key=lambda operation: getattr(operation, "strength", 0) == AUTO)
        return found

    def _refuse_unused(self, kinds: Mapping[str, type[Operation]]) -> None:
        known = {key: options_of(kind) for key, kind in OPERATIONS.items()}
        for name in self.shared:
            having = [key for key, items in known.items() if name in items]
            if kinds and kinds.keys().isdisjoint(having):
                flag = flag_of(known[having[0]][name])
                given, others = ([flag_of(known[key][key]) for key in keys] for keys in (kinds, having))
                raise ConfigError(f"{flag} means nothing with {' and '.join(given)}; it belongs to {', '.join(others)}")


def edit_options(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a click command the options of all operations; the command receives `EditWords` as `name`."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        items = {key: options_of(kind)[key] for key, kind in OPERATIONS.items()}
        shared: dict[str, Any] = {}
        for item in (item for kind in OPERATIONS.values() for item in options_of(kind).values()):
            if item.name not in items:
                shared.setdefault(item.name, item)  # the words of the first operation that has it

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            texts = {key: tuple(kwargs.pop(key)) for key in items}
            given = {key: value for key in shared if (value := kwargs.pop(key)) is not None}
            return command(*args, **{**kwargs, name: EditWords(texts, given)})

        wrapper.__name__, wrapper.__doc__ = command.__name__, command.__doc__
        wrapper.__click_params__ = list(getattr(command, "__click_params__", []))  # type: ignore[attr-defined]
        for item in reversed(shared.values()):
            told = "" if item.default == "" else f"  [default: {item.default}]"  # None tells whether it was given
            text, everyday = item.metadata["help"] + told, item.name in EVERYDAY
            wrapper = click_option(item, None, HOW, everyday, help=text)(wrapper)
        for item in reversed(items.values()):
            wrapper = _repeated(item)(wrapper)
        return wrapper

    return decorate


def _repeated(item: Any) -> Callable[..., Any]:
    """The option of an operation's key, which may be given several times."""
    text = item.metadata["help"]
    settings: dict[str, Any] = {
        "cls": GroupedOption,
        "group": WHAT,
        "everyday": True,
        "multiple": True,
        "help": text,
        "metavar": item.metadata.get("metavar"),
    }
    if isinstance(item.default, tuple):
        settings["nargs"] = item.metadata["num"]
    return click.option(flag_of(item), item.name, **settings)
