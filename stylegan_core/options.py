"""Frozen dataclasses as command-line options; imports no torch, so that `--help` is quick."""

from collections.abc import Callable, Sequence
from dataclasses import MISSING, field, fields
from typing import Any

import click


def option(default: Any, help: str, **extra: Any) -> Any:
    """Declare a dataclass field that is an option: its help, and `choices` or `flag` where they differ."""
    return field(default=default, metadata={"help": help, **extra})


def options_from(
    config_class: type, name: str, only: Sequence[str] = (), **defaults: Any
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a click command one option a field of `config_class`; the command receives the instance as `name`.

    `only` names the fields that this command has a use for, if not all; `defaults` replace the fields' own."""
    chosen = [item for item in fields(config_class) if not only or item.name in only]

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            kwargs[name] = config_class(**{item.name: kwargs.pop(item.name) for item in chosen})
            return command(*args, **kwargs)

        wrapper.__name__, wrapper.__doc__ = command.__name__, command.__doc__
        wrapper.__click_params__ = list(getattr(command, "__click_params__", []))  # type: ignore[attr-defined]
        for item in reversed(chosen):
            wrapper = _click_option(item, defaults.get(item.name, item.default))(wrapper)
        return wrapper

    return decorate


def _click_option(item: Any, default: Any) -> Callable[..., Any]:
    assert default is not MISSING
    flag = item.metadata.get("flag", "--" + item.name.replace("_", "-"))
    settings: dict[str, Any] = {"default": default, "show_default": True, "help": item.metadata["help"]}
    if isinstance(default, bool):
        return click.option(f"{flag}/--no-{flag[2:]}", item.name, **settings)
    choices = item.metadata.get("choices")
    kind = click.Choice(choices) if choices else item.metadata.get("type", type(default))
    return click.option(flag, item.name, type=kind, **settings)
