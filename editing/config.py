"""The options of editing; without torch, so that the command line can read them quickly."""

from dataclasses import dataclass
from typing import Any, ClassVar

from editing.region_names import check_regions
from inversion.config import PASTE_MODES
from inversion.faces.attributes import PROBABILITY, UNITS, YEARS
from stylegan_core.errors import ConfigError
from stylegan_core.files import check_file_place
from stylegan_core.options import Checked, option
from stylegan_core.spelling import suggestion

RESTORE_HELP = "what brings detail back where pixels are pulled apart: auto, none, or a file of `restorer train`"


def region_option() -> Any:
    """Where edits may show."""
    text = "where the edits may show, the rest stays bit for bit the photo: eyes, brows, nose, mouth, skin, face, hair,"
    return option("", f"{text} or a picture of the photo's size, white there; separated by commas", check=check_regions)


@dataclass(frozen=True)
class EditConfig:
    """How an edited face gets back into its photo."""

    HEADING: ClassVar[str] = "Into the photo"
    EVERYDAY: ClassVar[tuple[str, ...]] = ("paste", "photo")

    paste: str = option(
        "auto",
        "how the face goes back into the photo: auto is motion where a face is seen, else warp or full",
        choices=PASTE_MODES,
    )
    restore: str = option("auto", RESTORE_HELP)
    photo: str = option("", "the latent's photo, where it is no longer where it was")
    region: str = region_option()


def check_judge(name: str) -> None:
    """Refuse a judge that there is not; raises `ConfigError`."""
    if name and name not in UNITS:
        known = ", ".join(UNITS)
        raise ConfigError(f"no judge is called '{name}'; there are {known}{suggestion(name, UNITS)}")


JUDGE_HELP = f"what tells of faces, by name: {', '.join(UNITS)}"
KEEP_HELP = "leave this alone: directions by name or file, separated by commas"


@dataclass(frozen=True)
class SearchConfig(Checked):
    """What the strength "auto" looks for."""

    target: float = option(
        0.8, "for auto: what a classifier of faces shall say, a probability (0.8: clearly so), or years for age"
    )
    identity_ceiling: float = option(
        0.35,
        "for auto: how far the person may change, as a distance of recognition descriptors (two people: 0.67)",
        least=0,
        was="identity_floor",
    )
    leak: float = option(
        0.05, "for auto: how much may change outside the face, as a share of the range of pixel values", least=0
    )
    judge: str = option(
        "",
        f"for auto: the classifier that is asked; empty: the direction's own; one of {', '.join(UNITS)}",
        check=check_judge,
    )
    max_strength: float = option(4.0, "for auto: strength at most that is tried, within what stays believable", above=0)

    def describe(self) -> str:
        """Say in words what is looked for, and within what."""
        bounds = f"identity distance {self.identity_ceiling:g}, change outside the face {self.leak:g}"
        goal = f"till {self.judge or 'its judge'} says {self.target:g}"
        return f"{goal} (at most: strength {self.max_strength:g}, {bounds})"


def check_target(search: SearchConfig, judge: str) -> None:
    """Refuse a target that the judge cannot say; raises `ConfigError`."""
    if UNITS.get(judge) == PROBABILITY and not 0 <= search.target <= 1:
        raise ConfigError(
            f"--target {search.target:g} is no probability, which is what {judge} is judged by; give 0 to 1"
        )
    if UNITS.get(judge) == YEARS and not 1 < search.target <= 120:
        raise ConfigError(f"--target {search.target:g} is no age in years; give one as --target 40")


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
class StudioConfig:
    """How the studio is served, and what it takes."""

    HEADING: ClassVar[str] = "The page"
    EVERYDAY: ClassVar[tuple[str, ...]] = ("port", "browser", "host")

    host: str = option("127.0.0.1", "address to listen on; any other than this one lets other machines in")
    port: int = option(7860, "port to listen on; 0: any that is free", least=0, most=65535)
    browser: bool = option(True, "open the page in the browser")
    share: bool = option(False, "let gradio.live tunnel a public link here; whoever has it can use this machine")
    max_photo: int = option(50, "megabytes of a photo at most")
    grace: float = option(60.0, "seconds for which a closed tab's work is kept, so that a reload finds it", least=0)
    max_checkpoint: int = option(1024, "megabytes of a checkpoint at most")


@dataclass(frozen=True)
class ReportConfig:
    """What the contact sheet of a batch holds."""

    to: str = option("", "file to write; empty: report.html in OUT", check=check_file_place)
    pictures: int = option(2000, "photos that get pictures, about 8 kB each; the others get a row of figures")


DEFAULT_SEARCH = SearchConfig()


@dataclass(frozen=True)
class FitSource:
    """What a direction is fitted to: exactly one of these."""

    pairs: str = option("", "folder or zip with attributes.csv (file, person, pose), or a CSV of neutral, expression")
    labels: str = option("", "a CSV of file (latent.npz, photo or seed number) and label (0 and 1, or numbers)")
    attribute: str = option("", JUDGE_HELP)
    condition: str = option(
        "",
        "words of the column `condition` in --data's attributes.csv, comma-separated; faces with one against the rest",
    )


@dataclass(frozen=True)
class FinishConfig:
    """What happens to a direction after it was fitted, whatever it was fitted to."""

    keep: str = option("", KEEP_HELP)
    layers: str = option("all", "layers that move: all, coarse, middle, fine, or as 4-7")
    judge: str = option("", f"what the direction moves, for --strength auto and reports; {JUDGE_HELP}")


@dataclass(frozen=True)
class BoundaryConfig:
    """How a linear boundary is fitted to scored codes."""

    classifier: str = option(
        "auto",
        "what separates the codes; auto: margins over every rival for expressions, else logistic",
        choices=("auto", "logistic", "svm"),
    )
    samples: int = option(2000, "codes drawn from the generator, where no --data is given")
    data: str = option("", "folder or zip of aligned faces whose codes (by the encoder) are used instead of samples")
    exclude: str = option("", "persons of the data's attributes.csv to leave out, separated by commas")
    leave_every: int = option(0, "every n-th face without a person is left out too, for measures; 0: none", least=0)
    psi: float = option(1.0, "truncation of the samples")
    extremes: float = option(0.1, "share of the codes with the highest scores that count as having the attribute")
    split: float = option(0.25, "share of the codes that is kept out of the fit, for the accuracy in the report")
    regularisation: float = option(0.01, "the classifier's C: smaller is smoother")
    scores: str = option("", "file that keeps the judged codes: written if it is not there, else read")
    refine: int = option(0, "steps that improve the fit on renders, by the judge's gradient, identity kept")
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


@dataclass(frozen=True)
class InterpolateConfig:
    """A film between codes."""

    frames: int = option(60, "frames of the film")
    fps: float = option(24.0, "frames a second")
    path: str = option("w", "w: straight lines in W or W+; z: great circles in Z, between seeds", choices=("w", "z"))
    loop: bool = option(False, "go on from the last to the first, so that the film can be repeated")
    format: str = option("gif", "kind of film; mp4 needs the extra `video`", choices=("gif", "mp4"))
    psi: float = option(1.0, "truncation of seeds")
