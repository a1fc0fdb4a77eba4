"""The options of editing; without torch, so that the command line can read them quickly."""

from dataclasses import dataclass

from stylegan_core.options import option

PASTE_MODES = ("auto", "full", "delta", "warp", "none")


@dataclass(frozen=True)
class EditConfig:
    """How far an edit goes and how it gets back into the photo."""

    strength: float = option(1.0, "strength of the edits that do not name their own; negative goes the other way")
    paste: str = option(
        "auto",
        "how the face goes back into the photo: auto is warp where the face is larger than the generator's image",
        choices=PASTE_MODES,
    )
    photo: str = option("", "the latent's photo, where it is no longer where it was")


@dataclass(frozen=True)
class PairsConfig:
    """How a direction is fitted to pairs of photos."""

    poses: str = option("neutral,smiling", "names of the two poses in attributes.csv, from and to")
    holdout: int = option(0, "pairs at the end of the list (by person) that are kept out of the fit")
    scale: float = option(1.8, "what strength 1 is, in units of the pairs' mean difference")
    codes: str = option("encoder", "codes of the photos: the encoder's guess (W) or an inversion (W+)",
                        choices=("encoder", "project"))  # fmt: skip
    steps: int = option(150, "optimiser steps of --codes project")
