"""Write docs/api.md, the reference of `invertigo`, from the docstrings: python docs/make_api.py"""

import dataclasses
import inspect
from pathlib import Path
from typing import Any

import invertigo

PAGE = Path(__file__).with_name("api.md")
HEAD = """# Python API
Written by `python docs/make_api.py` from the docstrings; `help(invertigo)` says the same.

"""


def page() -> str:
    """Return the page as Markdown."""
    assert invertigo.__doc__
    first, example, *rest = invertigo.__doc__.split("\n\n")
    intro = "\n\n".join([first, example, *rest])
    parts = [_entry(name, getattr(invertigo, name)) for name in invertigo.__all__]
    return HEAD + intro + "\n\n" + "\n".join(parts)


def _entry(name: str, value: Any) -> str:
    """Return what there is to say of one name: its signature, docstring, options and methods."""
    module = getattr(value, "__module__", "")
    lines = [f"## {name}", f"`{module}`", "", inspect.getdoc(value) or "", ""]
    if not inspect.isclass(value):
        return "\n".join([*lines[:1], f"`{name}{_signature(value)}`", *lines[2:]])
    if dataclasses.is_dataclass(value):
        lines += [f"- `{_field(item)}`{_help(item)}" for item in dataclasses.fields(value) if item.init] + [""]
    for method, attribute in vars(value).items():
        if method.startswith("_") or not inspect.getdoc(attribute) or method in _field_names(value):
            continue
        plain = getattr(attribute, "__func__", attribute)
        shown = f"{method}{_signature(plain)}" if inspect.isfunction(plain) else method
        lines += [f"`{name}.{shown}`: {inspect.getdoc(attribute)}", ""]
    return "\n".join(lines)


def _signature(function: Any) -> str:
    """Return the names and defaults of the parameters, which differ in nothing from one Python to the next."""
    parts = []
    for item in inspect.signature(function).parameters.values():
        if item.name in ("self", "cls"):
            continue
        star = {item.VAR_POSITIONAL: "*", item.VAR_KEYWORD: "**"}.get(item.kind, "")
        simple = isinstance(item.default, str | int | float | tuple | type(None))
        default = "" if item.default is item.empty else f"={item.default!r}" if simple else "=..."
        parts.append(f"{star}{item.name}{default}")
    return f"({', '.join(parts)})"


def _field_names(value: Any) -> set[str]:
    return {item.name for item in dataclasses.fields(value)} if dataclasses.is_dataclass(value) else set()


def _field(item: Any) -> str:
    default = item.default
    simple = isinstance(default, str | int | float | tuple) and default is not dataclasses.MISSING
    return f"{item.name} = {default!r}" if simple else item.name


def _help(item: Any) -> str:
    about = item.metadata.get("help", "")
    return f": {about}" if about else ""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE}: written")
