"""Frozen dataclasses as command-line options; imports no torch, so that `--help` is quick."""

import math
from collections.abc import Callable, Sequence
from dataclasses import MISSING, field, fields
from typing import Any

import click

from stylegan_core.errors import ConfigError


def option(default: Any, help: str, **extra: Any) -> Any:
    """Declare a dataclass field that is an option: its help, and what values it takes.

    `choices` are the texts it may be; `least`, `most` and `above` bound a number (the last without the bound itself);
    `type` is click's where the default does not tell it, `flag` and `aliases` its names on the command line."""
    return field(default=default, metadata={"help": help, **extra})


class Checked:
    """A base of option dataclasses: an instance whose values its fields do not take is refused where it is made."""

    def __post_init__(self) -> None:
        """Raise `ConfigError` for the first value that makes no sense."""
        for item in fields(self):  # type: ignore[arg-type]
            if wrong := mistake(item, getattr(self, item.name)):
                raise ConfigError(f"{flag_of(item)} {wrong}")


def mistake(item: Any, value: Any) -> str:
    """Say what is wrong with the value of an option's field; empty where nothing is."""
    choices, least, above, most = (item.metadata.get(key) for key in ("choices", "least", "above", "most"))
    if choices and value not in choices:
        return f"'{value}' is unknown; expected one of {', '.join(choices)}"
    if not isinstance(value, int | float) or isinstance(value, bool):
        return ""
    if not math.isfinite(value):
        return f"{value} is not a finite number"
    if above is not None and value <= above:
        return f"{value:g} is too small; expected more than {above:g}"
    if least is not None and value < least:
        return f"{value:g} is too small; expected {least:g} or more"
    if most is not None and value > most:
        return f"{value:g} is too large; expected {most:g} at most"
    return ""


def flag_of(item: Any) -> str:
    """Return an option's name on the command line."""
    return str(item.metadata.get("flag", "--" + item.name.replace("_", "-")))


def options_from(
    config_class: type, name: str, only: Sequence[str] = (), **defaults: Any
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a click command one option a field of `config_class`; the command receives the instance as `name`.

    `only` names the fields that this command has a use for, if not all; `defaults` replace the fields' own. A value
    that its field does not take is a usage error."""
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
    flag = flag_of(item)
    settings: dict[str, Any] = {"default": default, "show_default": True, "help": item.metadata["help"]}
    if isinstance(default, bool) or item.metadata.get("type") is bool:
        return click.option(f"{flag}/--no-{flag[2:]}", item.name, **settings)

    def check(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
        if wrong := mistake(item, value):
            raise click.BadParameter(wrong, context, parameter)
        return value

    choices = item.metadata.get("choices")
    kind = click.Choice(choices) if choices else item.metadata.get("type", type(default))
    names = (flag, *item.metadata.get("aliases", ()))
    return click.option(*names, item.name, type=kind, callback=check, **settings)
