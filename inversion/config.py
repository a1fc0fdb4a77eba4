"""The options of inversion; without torch, so that the command line can read them quickly."""

import re
from dataclasses import dataclass
from typing import ClassVar

from inversion.methods import CORRECTING_STEPS, METHOD_NAMES, WORTH_CORRECTING
from stylegan_core.assets import DEFAULT_GENERATOR
from stylegan_core.device_names import check_device
from stylegan_core.errors import ConfigError
from stylegan_core.options import Checked, option

STARTS = ("auto", "encoder", "w_avg")
SPACES = ("auto", "w+", "w", "z", "f")
PRECISIONS = ("float32", "float16", "bfloat16")
OPTIMIZERS = ("auto", "adam", "lbfgs")
PASTE_MODES = ("auto", "motion", "warp", "delta", "full", "none")
NEAR_W, NEARER_W = 0.1, 1.0  # weights of the spread of W+: what is corrected after it may stay nearer
FACES = re.compile(r"all|[1-9]\d*|face\d+(\s*,\s*face\d+)*")


def check_faces(text: str) -> None:
    """Refuse what names no faces; raises `ConfigError`."""
    if not FACES.fullmatch(text):
        raise ConfigError(f"faces = {text!r} is neither all, a number, nor names such as face0,face2")


@dataclass(frozen=True)
class ProjectionConfig(Checked):
    """What `project` minimises and how."""

    HEADING: ClassVar[str] = "How the code is searched for"
    EVERYDAY: ClassVar[tuple[str, ...]] = ("space", "steps", "seed")

    space: str = option(
        "auto", "latent space of the code; f is w+ with corrected features; auto: f where the generator and the method "
        f"allow it and there are {WORTH_CORRECTING} steps or more, else w+", choices=SPACES,
    )  # fmt: skip
    steps: int = option(-1, "optimizer steps at most; 0 keeps the starting code; -1: the method's own", least=-1)
    lambda_percept: float = option(1.0, "weight of the perceptual distance", least=0)
    lambda_mse: float = option(50.0, "weight of the squared error a value, ||G(w) - I||^2 / N", least=0)
    lambda_identity: float = option(0.0, "weight of the squared identity distance (faces)", least=0)
    lambda_wplus: float = option(
        -1.0, "weight of the squared spread of W+ around W, in units of the std of W; "
        f"-1: {NEAR_W}, and {NEARER_W:g} where features are corrected", least=-1,
    )  # fmt: skip
    lambda_noise: float = option(1e3, "weight of the noise inputs' autocorrelation", least=0)
    optimizer: str = option(
        "auto", "adam, lbfgs (no noise inputs), or auto: lbfgs where an encoder knows the loss's curvature",
        choices=OPTIMIZERS, was="optimiser",
    )  # fmt: skip
    lr: float = option(0.1, "peak learning rate of Adam, in units of the std of W", above=0)
    lr_noise: float = option(0.05, "peak learning rate of the noise inputs", above=0)
    jitter: float = option(
        0.02, "initial noise on w, in units of the std of W, annealed to 0 over 75% of the steps", least=0
    )
    optimise_noise: bool = option(True, "optimise noise inputs where the generator has them")
    patience: int = option(50, "stop when the loss has not improved by --settled for so many steps; 0: never", least=0)
    settled: float = option(0.002, "relative improvement that counts as one", least=0)
    seed: int = option(0, "seed of the jitter")
    precision: str = option(
        "float32", "of rendering and features while searching; codes stay 32 bit", choices=PRECISIONS
    )
    f_side: int = option(64, "--space f: pixels a side of the features that are corrected, at most", least=4)
    f_steps: int = option(
        -1, "--space f: steps of the correction, after those of the code; "
        f"-1: twice as many, {CORRECTING_STEPS} at most", least=-1,
    )  # fmt: skip
    f_lr: float = option(0.1, "--space f: peak learning rate of the correction, in std of the channel", above=0)
    f_mse: float = option(500.0, "--space f: weight of the squared error meanwhile", above=0)
    f_edits: float = option(0.5, "--space f: weight of drawn edits changing what they change without", least=0)
    f_penalty: float = option(0.02, "--space f: weight of the correction's mean square, in std of the channel", least=0)

    @property
    def spread_weight(self) -> float:
        """The weight of the spread of W+; it is no question in another space."""
        if self.space in ("w", "z"):
            return 0.0
        own = NEARER_W if self.space == "f" else NEAR_W
        return own if self.lambda_wplus < 0 else self.lambda_wplus


@dataclass(frozen=True)
class TuneConfig(Checked):
    """How `tune` bends the generator to a face."""

    HEADING: ClassVar[str] = "Tuning (--method tune)"

    tune_steps: int = option(250, "steps of the generator's tuning at most", least=0)
    tune_lr: float = option(0.015, "peak learning rate of the weights' difference", above=0)
    tune_mse: float = option(
        500.0, "weight of the squared error; --lambda-percept weighs the perceptual distance", least=0
    )
    tune_psnr: float = option(38.0, "stop once the render is so close to the photo, in dB")
    tune_size: float = option(
        0.1, "size of the stored difference at most, as a share of the generator's in 16 bit", above=0, most=1
    )
    tune_locality: float = option(
        0.1, "weight of the change elsewhere in W, which keeps the generator what it is", least=0
    )
    tune_edits: float = option(0.5, "weight of edits of the pivot changing what they changed before", least=0)


@dataclass(frozen=True)
class EncoderConfig(Checked):
    """How an encoder is trained for a generator."""

    data: str = option("", "folder or zip of aligned images; empty: the generator's own samples alone")
    exclude: str = option("", "persons of the data's attributes.csv that are left out, comma-separated")
    samples: int = option(4096, "generator samples for the closed-form part", least=16)
    probes: int = option(1024, "backward passes that measure the loss's curvature, for --method hybrid", least=0)
    network: str = option("", "encoder file whose network is taken as it is, so that the curvature alone is measured")
    steps: int = option(2000, "training steps of the network on top; 0: closed form only", least=0)
    batch: int = option(8, "images a step, half of them samples where there is data", least=1)
    lr: float = option(1e-3, "peak learning rate", above=0)
    spread: float = option(0.1, "weight of the squared spread of W+ around W, in units of the std of W", least=0)
    holdout: int = option(64, "images at the end of the data that are only scored", least=0)
    seed: int = option(0, "seed of samples and order")


@dataclass(frozen=True)
class CotrainConfig(Checked):
    """How a generator and its encoder are trained together."""

    data: str = option("", "folders or zips of aligned faces, comma-separated: of the new resolution, or half of it")
    encoder: str = option("", "encoder of the generator to start from; empty: the shipped one, else a new one")
    name: str = option("generator", "name of the generator's file")
    channels: str = option("", "feature maps a resolution from 4 px up, such as 256,128; empty: one resolution more")
    weights: str = option("", "how often a face is taken, by `source` in attributes.csv, such as london=1.5,sfhq=2")
    exclude: str = option("", "persons of attributes.csv that are left out, separated by commas")
    holdout: int = option(10, "every n-th face without a person is left out, for measures; 0: none", least=0)
    steps: int = option(5000, "training steps", least=1)
    batch: int = option(8, "faces a step", least=1)
    lr: float = option(2.5e-3, "peak learning rate of the generator", above=0)
    lr_encoder: float = option(6e-4, "peak learning rate of the encoder", above=0)
    lr_critic: float = option(4e-4, "peak learning rate of the adversary", above=0)
    critic_weight: float = option(0.25, "weight of the adversary's opinion of the crops", least=0)
    critic_from: float = option(0.12, "share of the steps after which there is an adversary; 1: never", least=0)
    fit_mapping: bool = option(False, "at the end, let seeds have the mean and covariance of the faces' codes")
    precision: str = option("float32", "of the networks' arithmetic; weights stay 32 bit", choices=PRECISIONS)
    seed: int = option(0, "seed of the new weights and of the order")


@dataclass(frozen=True)
class RestorerConfig(Checked):
    """How the restorer of a paste, or the painter of the teeth that parted lips show, is trained."""

    what: str = option(
        "detail", "what is learnt: detail where a paste is coarse, or teeth", choices=("detail", "teeth")
    )
    data: str = option("", "folder or zip of sharp aligned faces, 256 px")
    exclude: str = option("", "persons of the data's attributes.csv that are left out, comma-separated")
    init: str = option("", "a restorer to go on from; empty: from scratch")
    steps: int = option(2500, "training steps", least=1)
    batch: int = option(8, "crops a step", least=1)
    crop: int = option(80, "pixels of a crop, a multiple of 8")
    lr: float = option(5e-4, "peak learning rate", above=0)
    adversarial: float = option(0.5, "how strongly the critic pulls, as a share of the distance's pull")
    adversarial_from: int = option(500, "step at which the critic starts to pull")
    holdout: int = option(48, "images at the end of the data that are only scored and shown")
    seed: int = option(0, "seed of crops and order")


@dataclass(frozen=True)
class ScorecardConfig(Checked):
    """What a scorecard compares, and on which images."""

    data: str = option("", "folder or zip of aligned faces, or of photos, of which the largest face is taken")
    methods: str = option(
        "project,hybrid,hybrid/f,tune,reference",
        "methods to compare; METHOD/SPACE for another than w+, METHOD:STEPS for other than its own",
    )
    images: int = option(8, "images at the end of the data, by name, that are scored", least=1)
    edits: str = option(
        "smile,age,gender", "directions that judge the editability, by name where the generator has them, or files"
    )
    strength: float = option(1.0, "strength of those directions")
    real: int = option(256, "images before those, which edited ones are compared with by attribute", least=0)
    drag: str = option(
        "", "points that are dragged on every image, x,y:x,y in 0..1 of the face; several are separated by ;",
        metavar="X,Y:X,Y",
    )  # fmt: skip
    lec: bool = option(False, "invert every edited render too, for the latent editing consistency (a search an edit)")


@dataclass(frozen=True)
class VideoConfig(Checked):
    """How a film is inverted and put together again."""

    HEADING: ClassVar[str] = "The film"
    EVERYDAY: ClassVar[tuple[str, ...]] = ("frames", "fps", "paste")

    frames: int = option(0, "frames at most; 0: all, up to 3,000", least=0)
    fps: float = option(0.0, "frames a second; 0: the film's own, or 25", least=0)
    passes: int = option(60, "steps for each frame after the shared pivot is found", least=0)
    chunk: int = option(8, "neighbouring frames optimised at a time", least=1)
    temporal: float = option(0.5, "weight of the squared change from frame to frame, in units of the std of W", least=0)
    smooth_quads: float = option(1.5, "smoothing of the face's place over time, in frames", least=0)
    paste: str = option("auto", "how the face goes back into each frame; none: the face alone", choices=PASTE_MODES)
    restore: str = option("auto", "what brings detail back where pixels are pulled apart: auto, none, or a file")
    region: str = option("", "where edits may show, the rest stays bit for bit the frame; as `edit --region` has it")


@dataclass(frozen=True)
class InvertConfig(Checked):
    """Which generator, which faces, and where to start."""

    HEADING: ClassVar[str] = "Faces and generator"
    EVERYDAY: ClassVar[tuple[str, ...]] = ("generator", "method", "faces", "align", "mask", "strict", "device")

    generator: str = option(
        DEFAULT_GENERATOR, "file, https URL, hf:OWNER/REPO/FILE[@REVISION], or name (shipped, or of `models list`)"
    )
    resolution: int = option(0, "pixels to draw by the generator's lower layers, for speed; 0: its own", least=0)
    method: str = option(
        "auto",
        "how the code is found; auto: hybrid with an encoder, else project; guess: the encoder's code as it is",
        choices=METHOD_NAMES,
    )
    faces: str = option(
        "1", "faces of each photo: all, N (the N largest), or names such as face0,face2", check=check_faces
    )
    align: bool = option(True, "find and align faces; --no-align takes the picture as an aligned face")
    start: str = option(
        "auto", "starting code: auto (the method's own, or of --encoder), encoder, w_avg, or a latent.npz"
    )
    encoder: str = option(
        "", "encoder to start from: ours, pSp, e4e, ReStyle; named as generators are; empty: the generator's own"
    )
    mask: str = option("", "picture of the photo's size, white where the face is visible; the rest is not matched")
    batch: int = option(
        1, "faces searched for at a time; results differ from those of single searches by rounding", least=1
    )
    perceptual: str = option("auto", "perceptual features: auto, vgg, alex, squeeze, squeeze-uncalibrated")
    identity: str = option(
        "", "ArcFace IR-SE50 (model_ir_se50.pth) for the identity term and reports; empty: the shipped network"
    )
    strict: bool = option(False, "refuse what else is only warned of: faces covered, from the side, small, several")
    device: str = option("auto", "auto, cpu, cuda or mps", check=check_device)
