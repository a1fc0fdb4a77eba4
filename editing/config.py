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


JUDGE_HELP = "judge: neutral, happy, sad, angry, fearful, disgusted, surprised, age or gender"
KEEP_HELP = "leave this alone: directions by name or file, separated by commas"


@dataclass(frozen=True)
class PairsConfig:
    """How a direction is fitted to pairs of photos."""

    poses: str = option("neutral,smiling", "names of the two poses in attributes.csv, from and to")
    holdout: int = option(0, "pairs at the end of the list (by person) that are kept out of the fit")
    scale: float = option(1.8, "what strength 1 is, in units of the pairs' mean difference")
    codes: str = option("encoder", "codes of the photos: the encoder's guess (W) or an inversion (W+)",
                        choices=("encoder", "project"))  # fmt: skip
    steps: int = option(150, "optimiser steps of --codes project")


@dataclass(frozen=True)
class FitSource:
    """What a direction is fitted to: exactly one of these."""

    pairs: str = option("", "folder or zip with attributes.csv (file, person, pose), or a CSV of neutral, expression")
    labels: str = option("", "a CSV of file (latent.npz, photo or seed number) and label (0 and 1, or numbers)")
    attribute: str = option("", JUDGE_HELP)


@dataclass(frozen=True)
class FinishConfig:
    """What happens to a direction after it was fitted, whatever it was fitted to."""

    keep: str = option("", KEEP_HELP)
    layers: str = option("all", "layers that move: all, coarse, middle, fine, or as 4-7")
    judge: str = option("", f"what the direction moves, for --strength auto and reports; {JUDGE_HELP}")


@dataclass(frozen=True)
class BoundaryConfig:
    """How a linear boundary is fitted to scored codes."""

    classifier: str = option("logistic", "what separates the codes", choices=("logistic", "svm"))
    samples: int = option(2000, "codes drawn from the generator, where no --data is given")
    data: str = option("", "folder or zip of aligned faces whose codes (by the encoder) are used instead of samples")
    exclude: str = option("", "persons of the data's attributes.csv to leave out, separated by commas")
    psi: float = option(1.0, "truncation of the samples")
    extremes: float = option(0.1, "share of the codes with the highest scores that count as having the attribute")
    split: float = option(0.25, "share of the codes that is kept out of the fit, for the accuracy in the report")
    regularisation: float = option(0.01, "the classifier's C: smaller is smoother")
    seed: int = option(0, "seed of the samples and of the split")


@dataclass(frozen=True)
class ComponentConfig:
    """Which component of a factorisation becomes the direction."""

    component: int = option(0, "number of the component, from 0")
    scale: float = option(2.0, "what strength 1 is, in standard deviations of W along the component")
    layers: str = option("all", "layers that move (for sefa also: whose weights are taken): all, coarse, 4-7, ...")
    samples: int = option(10_000, "codes drawn from the generator")
    seed: int = option(0, "seed of the samples")


@dataclass(frozen=True)
class ImportConfig:
    """Which direction of another tool's file, and how long a step."""

    component: int = option(0, "number of the component, where the file holds many")
    scale: float = option(1.0, "what strength 1 is, in units of the file's own step")
    layers: str = option("all", "layers that move: all, coarse, middle, fine, or as 4-7")
    judge: str = option("", f"what the direction moves, for --strength auto; {JUDGE_HELP}")
