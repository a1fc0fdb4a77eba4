"""The programs `invertigo`, `invert` and `edit`, where the modules that they start are sure to be ours."""

import atexit
import gc
import sys
from typing import Any

IMPORTED = 400_000  # objects: torch makes 285,000 when it is imported, a command some 30,000 more


def main() -> None:
    """Run `invertigo`."""
    _run("main")


def invert() -> None:
    """Run `invert`."""
    _run("invert_main")


def edit() -> None:
    """Run `edit`."""
    _run("edit_main")


def spare_imports() -> None:
    """Let the garbage collector pass over what is imported: it would look through it dozens of times, and at the end.

    Importing torch takes a third less time so. Once there are as many objects as `IMPORTED`, it works as it does
    everywhere."""
    usual = gc.get_threshold()

    def as_usual(phase: str, info: dict[str, Any]) -> None:
        gc.callbacks.remove(as_usual)
        gc.set_threshold(*usual)

    gc.callbacks.append(as_usual)
    gc.set_threshold(IMPORTED, *usual[1:])
    atexit.register(gc.freeze)


def _run(name: str) -> None:
    from invertigo.checks import ShadowedError, refuse_shadows

    try:
        refuse_shadows()
    except ShadowedError as error:
        sys.exit(f"error: {error}")
    spare_imports()
    import cli

    getattr(cli, name)()
