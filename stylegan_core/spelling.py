"""What somebody probably meant by a name that is not known."""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the known name that is most like `word`; empty where none is like it."""
    names = {name.lower(): name for name in known}
    found = get_close_matches(word.lower(), names, n=1, cutoff=0.6)
    return names[found[0]] if found else ""


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean smile?`, or nothing where no known name is like `word`."""
    name = nearest(word, known)
    return f"; did you mean {name}?" if name else ""
