"""Frozen dataclasses as options: of the command line, and of tables in files; imports no torch, so that `--help` is
quick.

A field's default, help, choices and bounds stand in the field, and are checked here alone."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, field, fields
from typing import Any

import click

from stylegan_core.errors import ConfigError
from stylegan_core.grouped_help import GroupedOption


def option(default: Any, help: str, **extra: Any) -> Any:
    """Declare a dataclass field that is an option: its help, and what values it takes.

    `choices` are the texts it may be; `offer()` returns texts that it may be among others; `least`, `most` and
    `above` bound a number (the last without the bound itself); `words` may stand instead of a number; `check(value)`
    raises `ConfigError` for a value that makes no sense; `also(value)` tells whether a value of another type will do;
    `num` is how many texts a tuple has; `flag` is its name on the command line where it is another, `type` what the
    default does not tell, `part(value)` what an operation takes of a value that is meant for several, `was` an
    earlier name that still works; `prose` tells that it is a sentence, in which a colon may stand; `group` is its
    heading in `--help`, else its dataclass's `HEADING`. A dataclass's `EVERYDAY` names those options that are listed
    there even where there are many."""
    return field(default=default, metadata={"help": help, **extra})


def group(default: Any, **extra: Any) -> Any:
    """Declare a field that is a dataclass of options itself: they are options of the whole, under their own names.

    `beside`: (name, value) of the option with which alone they mean something."""
    return field(default=default, metadata={"nested": True, **extra})


class Checked:
    """A base of option dataclasses: an instance whose values its fields do not take is refused where it is made."""

    def __post_init__(self) -> None:
        """Raise `ConfigError` for the first value that makes no sense."""
        for item in fields(self):  # type: ignore[arg-type]
            if wrong := mistake(item, getattr(self, item.name), flag_of(item)):
                raise ConfigError(wrong)


def options_of(kind: type) -> dict[str, Any]:
    """Return the fields that are options of a dataclass by name, those of its groups among them."""
    found: dict[str, Any] = {}
    for item in fields(kind):
        found |= options_of(type(item.default)) if item.metadata.get("nested") else {item.name: item}
    return found


def values_of(config: Any) -> dict[str, Any]:
    """Return the values of all options of an instance by name, those of its groups among them."""
    found: dict[str, Any] = {}
    for item in fields(config):
        value = getattr(config, item.name)
        found |= values_of(value) if item.metadata.get("nested") else {item.name: value}
    return found


def changed_values(config: Any, named: Sequence[str] = ()) -> dict[str, Any]:
    """Return the values that differ from their defaults, and those of the options in `named`."""
    defaults = {name: item.default for name, item in options_of(type(config)).items()}
    return {name: value for name, value in values_of(config).items() if name in named or value != defaults[name]}


def build(kind: type, values: Mapping[str, Any]) -> Any:
    """Make a `kind` of the values that are options of it: whole numbers as floats and lists as tuples where due."""
    chosen: dict[str, Any] = {}
    for item in fields(kind):
        if item.metadata.get("nested"):
            chosen[item.name] = build(type(item.default), values)
        elif item.name in values:
            value = values[item.name]
            whole = isinstance(item.default, float) and isinstance(value, int)
            chosen[item.name] = float(value) if whole else tuple(value) if isinstance(value, list) else value
    return kind(**chosen)


def renamed(kinds: Iterable[type]) -> dict[str, str]:
    """Return the earlier names of options that have been renamed, and the names they have now."""
    items = (item for kind in kinds for item in options_of(kind).values())
    return {item.metadata["was"]: item.name for item in items if "was" in item.metadata}


def type_mistake(item: Any, value: Any, name: str) -> str:
    """Say, as `mistake` does, that a value is not of the type that its option's field takes."""
    default, words, also = item.default, item.metadata.get("words", ()), item.metadata.get("also", lambda _: False)
    if isinstance(default, tuple):
        num = item.metadata["num"]
        fits = isinstance(value, list | tuple) and len(value) == num
        fits = fits and all(isinstance(part, str) or also(part) for part in value)
        return "" if fits else f"{name} {value!r} should be {num} texts in brackets"
    if also(value) or (isinstance(value, str) and value in words):
        return ""
    if type(value) is type(default) or (isinstance(default, float) and type(value) is int):
        return ""
    return f"{name} {value!r} should be of type {type(default).__name__}" + "".join(f" or {w!r}" for w in words)


def mistake(item: Any, value: Any, name: str = "") -> str:
    """Say what is wrong with the value of an option's field, which is called `name`; empty where nothing is."""
    about = item.metadata
    try:
        if "check" in about:
            about["check"](value)
    except ConfigError as error:
        return str(error)
    choices, least, above, most = (about.get(key) for key in ("choices", "least", "above", "most"))
    wrong = ""
    if choices and value not in choices:
        wrong = f"'{value}' is unknown; expected one of {', '.join(choices)}"
    elif not isinstance(value, int | float) or isinstance(value, bool):
        return ""
    elif not math.isfinite(value):
        wrong = f"{value} is not a finite number"
    elif above is not None and value <= above:
        wrong = f"{value:g} is too small; expected more than {above:g}"
    elif least is not None and value < least:
        wrong = f"{value:g} is too small; expected {least:g} or more"
    elif most is not None and value > most:
        wrong = f"{value:g} is too large; expected {most:g} at most"
    return f"{name} {wrong}".strip() if wrong else ""


def flag_of(item: Any) -> str:
    """Return an option's name on the command line."""
    return str(item.metadata.get("flag", "--" + item.name.replace("_", "-")))


class NumberOr(click.ParamType):
    """A number, or one of some words."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words, self.name = words, "|".join(["number", *words])

    def convert(self, value: Any, param: Any, ctx: Any) -> float | str:
        """Return a float or the word; anything else is a usage error."""
        if value in self.words:
            return str(value)
        try:
            return float(value)
        except (TypeError, ValueError):
            self.fail(f"'{value}' is neither a number nor {' or '.join(self.words)}", param, ctx)


def options_from(
    config_class: type, name: str, only: Sequence[str] = (), **defaults: Any
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a click command one option a field of `config_class`; the command receives the instance as `name`.

    `only` names the fields that this command has a use for, if not all; `defaults` replace the fields' own. A value
    that its field does not take is a usage error."""
    chosen = [item for item in options_of(config_class).values() if not only or item.name in only]

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            kwargs[name] = build(config_class, {item.name: kwargs.pop(item.name) for item in chosen})
            return command(*args, **kwargs)

        wrapper.__name__, wrapper.__doc__ = command.__name__, command.__doc__
        wrapper.__click_params__ = list(getattr(command, "__click_params__", []))  # type: ignore[attr-defined]
        for item in reversed(chosen):
            default = defaults.get(item.name, item.default)
            heading, everyday = getattr(config_class, "HEADING", ""), getattr(config_class, "EVERYDAY", ())
            wrapper = click_option(item, default, heading, item.name in everyday)(wrapper)
        return wrapper

    return decorate


def click_option(
    item: Any, default: Any, heading: str = "", everyday: bool = False, **settings: Any
) -> Callable[..., Any]:
    """Return what gives a click command the option of a field, and its earlier name where it has one."""
    assert default is not MISSING
    flag = flag_of(item)
    settings = {"default": default, "show_default": True, "help": item.metadata["help"], **settings}
    settings |= {"cls": GroupedOption, "group": item.metadata.get("group", heading), "everyday": everyday}
    if isinstance(item.default, bool) or item.metadata.get("type") is bool:
        return click.option(f"{flag}/--no-{flag[2:]}", item.name, **settings)
    choices, words, was = (item.metadata.get(key) for key in ("choices", "words", "was"))
    plain = item.metadata.get("type", type(item.default))
    kind = click.Choice(choices) if choices else NumberOr(words) if words else plain
    old = "--" + was.replace("_", "-") if was else ""

    def note(context: click.Context, parameter: click.Parameter, value: Any) -> None:
        if value is not None:
            click.echo(f"{old} is now called {flag}; the old name still works", err=True)
            context.meta[old] = value

    def check(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
        value = context.meta.get(old, value)  # options that were given are read before those that were not
        if value is not None and (wrong := mistake(item, value)):
            raise click.BadParameter(wrong, context, parameter)
        return value

    current = click.option(flag, item.name, type=kind, callback=check, **settings)
    if not was:
        return current
    earlier = click.option(old, f"old_{item.name}", type=kind, hidden=True, expose_value=False, callback=note)
    return lambda command: current(earlier(command))
