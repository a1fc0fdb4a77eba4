"""A photo with the codes of its faces and the edits of them, and the gallery of what was made in a session."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from editing.pasted import EditedPhoto
from editing.recipe import Recipe
from editing.studio.dials import Dials, History
from editing.studio.noted import Found
from inversion.invert import AlignedFace, InvertedFace
from stylegan_core.errors import ConfigError
from stylegan_core.images import Photo

MAX_KEPT = 60  # edits in a gallery; the oldest go first
MAX_PHOTOS = 6  # whose edits it keeps


@dataclass(eq=False)
class Work:
    """What is done to one photo."""

    photo: Photo | None = None
    file: Path | None = None  # the photo's bytes as they came
    align: bool = True  # whether faces are looked for; else the picture is one aligned face
    faces: list[AlignedFace] = field(default_factory=list)
    inverted: dict[int, InvertedFace] = field(default_factory=dict)
    recipe: Recipe = field(default_factory=Recipe)  # of the inversion
    history: History = field(default_factory=History)
    slots: dict[str, Dials] = field(default_factory=dict)  # edits that are kept to be compared, by the slot's name
    pasted: dict[Dials, EditedPhoto] = field(default_factory=dict)
    found: Found = field(default_factory=Found)  # by edits that search

    def forget_pictures(self) -> None:
        """Forget what was rendered of the codes, which are others now."""
        self.pasted, self.found = {}, Found()


@dataclass(frozen=True, eq=False)
class Kept:
    """An edit in the gallery."""

    number: int
    work: Work
    dials: Dials
    picture: NDArray[np.uint8]  # [h, w, 3] of the face
    label: str


class Gallery:
    """The edits of a session, oldest first."""

    def __init__(self) -> None:
        self._kept: list[Kept] = []
        self._made = 0

    def __iter__(self) -> Iterator[Kept]:
        return iter(self._kept)

    def add(self, work: Work, dials: Dials, picture: NDArray[np.uint8], label: str) -> None:
        """Keep an edit, in the place it has or at the end."""
        old = next((kept for kept in self._kept if kept.work is work and kept.dials == dials), None)
        self._made += old is None
        new = Kept(old.number if old else self._made, work, dials, picture, label)
        self._kept = [new if kept is old else kept for kept in self._kept] if old else [*self._kept, new]
        works = list(dict.fromkeys(kept.work for kept in reversed(self._kept)))[:MAX_PHOTOS]
        self._kept = [kept for kept in self._kept if kept.work in works][-MAX_KEPT:]

    def drop(self, work: Work, dials: Dials) -> None:
        """Forget an edit, if it is kept."""
        self._kept = [kept for kept in self._kept if kept.work is not work or kept.dials != dials]

    def find(self, number: int) -> Kept:
        """Return the edit of a number; raises `ConfigError`."""
        found = next((kept for kept in self._kept if kept.number == number), None)
        if found is None:
            raise ConfigError("this edit is not in the gallery any more; choose another one")
        return found
