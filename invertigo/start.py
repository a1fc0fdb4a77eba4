"""The programs `invertigo`, `invert` and `edit`, where the modules that they start are sure to be ours."""

import sys


def main() -> None:
    """Run `invertigo`."""
    _run("main")


def invert() -> None:
    """Run `invert`."""
    _run("invert_main")


def edit() -> None:
    """Run `edit`."""
    _run("edit_main")


def _run(name: str) -> None:
    from invertigo.checks import ShadowedError, refuse_shadows

    try:
        refuse_shadows()
    except ShadowedError as error:
        sys.exit(f"error: {error}")
    import cli

    getattr(cli, name)()
