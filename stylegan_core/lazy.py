"""Packages that export names without loading what stands behind them until it is used."""

import ast
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any


def lazy_exports(package: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return `__getattr__`, `__dir__` and `__all__` of a package whose __init__ imports its names for type checkers.

    The imports under `if TYPE_CHECKING:` in `file` say which names there are and which module each comes from."""
    names: dict[str, tuple[str, str]] = {}
    for node in ast.parse(Path(file).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            for line in (line for line in node.body if isinstance(line, ast.ImportFrom)):
                names |= {alias.asname or alias.name: (str(line.module), alias.name) for alias in line.names}

    def get(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        module, original = names[name]
        return getattr(import_module(module), original)

    return get, lambda: sorted(names), sorted(names)
