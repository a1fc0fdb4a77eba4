"""Progress bars: on a terminal only, and none where a command was told to be quiet."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_silent = False  # of this process, so that bars in threads keep quiet as well


@contextmanager
def bars_silenced(silent: bool) -> Iterator[None]:
    """Show no bar within, wherever it is drawn; False changes nothing."""
    global _silent
    before = _silent
    _silent = silent or before
    try:
        yield
    finally:
        _silent = before


def progress_bar(iterable: Any = None, show: bool = True, **options: Any) -> Any:
    """Return tqdm's bar over `iterable` (or for `update`) with tqdm's `options`; `show=False` draws none either."""
    from tqdm import tqdm  # slow to import for what shows no bar

    return tqdm(iterable, disable=None if show and not _silent else True, **options)
