"""What defines a training run; no torch here, so that the command line can read the fields quickly."""

from dataclasses import dataclass

from stylegan_core.options import option


@dataclass(frozen=True)
class TrainConfig:
    """A training run."""

    data: str = option("", "folder or zip of square images, with dataset.json for labels")
    out: str = option("training-run", "folder of snapshots; the same command goes on where it stopped")
    preset: str = option("stylegan2-ada", "generator architecture: see networks.configs.PRESETS")
    resolution: int | None = option(None, "pixels; images are shrunk to it (None: the images' own)", type=int)
    kimg: float = option(25000.0, "thousands of real images to show")
    batch: int = option(16, "images a step, over all processes")
    accumulate: int = option(1, "parts a process splits its share of the batch into, to save memory")
    seed: int = option(0, "of weights, data order and all other randomness")
    device: str = option("auto", "auto, cpu, cuda or mps")
    objective: str = option("non-saturating", "see objectives.OBJECTIVES")
    discriminator: str = option(
        "stylegan2", "stylegan2, or projected (pretrained features; small data)", choices=("stylegan2", "projected")
    )
    projected_side: int = option(96, "pixels to which the projected discriminator resizes images")
    lr_g: float = option(2e-3, "Adam's learning rate of the generator")
    lr_d: float = option(2e-3, "and of the discriminator")
    anneal: float = option(0.0, "last share of the run over which learning rates fall to zero")
    beta1: float = option(0.0, "Adam's first moment")
    beta2: float = option(0.99, "Adam's second moment")
    r1_gamma: float | None = option(None, "weight of R1 (None: 0.0002 resolution^2 / batch)", type=float)
    r1_every: int = option(16, "steps between two R1 steps; 0: never")
    pl_weight: float = option(2.0, "weight of the path length penalty")
    pl_every: int | None = option(
        None, "steps between two path length steps; 0: never (None: 4 for StyleGAN2, else 0)", type=int
    )
    pl_shrink: int = option(2, "the path length step takes 1/pl_shrink of the batch")
    style_mixing: float | None = option(
        None, "probability that two z make one image (None: what the preset's paper uses)", type=float
    )
    ema_kimg: float | None = option(None, "half-life of the averaged weights (None: batch * 10 / 32)", type=float)
    ema_rampup: float = option(0.05, "half-life is at most this share of the images seen; 0: no such limit")
    augment: str = option("ada", "ada: adaptive; fixed: always augment_p; none", choices=("ada", "fixed", "none"))
    augment_groups: str = option("bgc", "blit, geometric, colour, filter, corruption, or letters: bgc, bgcfnc")
    augment_p: float = option(0.0, "probability of each transform: fixed, or where ada starts")
    ada_target: float = option(0.6, "what the mean sign of D's real logits is held at")
    ada_kimg: float = option(500.0, "thousands of images for p to go from 0 to 1")
    mirror: bool = option(True, "show mirrored images too")
    labels: bool = option(False, "train on the labels of dataset.json")
    real_label: float = option(1.0, "one-sided smoothing of D's target for real images")
    history: int = option(0, "earlier fakes kept for D; 0: none")
    adaptive_d: float | None = option(None, "D rests while its loss is at or under this", type=float)
    adaptive_g: float | None = option(None, "G rests while its loss is at or under this", type=float)
    freeze_d: int = option(0, "highest resolutions of D that stay as they are (transfer learning)")
    freeze_mapping: bool = option(False, "the mapping network stays as it is")
    init: str = option("", "checkpoint to start from; one of a lower resolution grows (StyleGAN2)")
    grow_channels: int | None = option(None, "feature maps of what it grows (None: its own rule)", type=int)
    warm_start: str = option(
        "none", "pca: regression on principal components before the adversarial training", choices=("none", "pca")
    )
    warm_kimg: float = option(40.0, "thousands of images of that regression")
    anchor: str = option("", "linear encoder of --init, or .npz of codes, that must go on drawing the training images")
    anchor_weight: float = option(0.5, "weight of that")
    anchor_every: int = option(2, "steps between two looks at the anchor")
    reuse_fakes: bool = option(False, "show D the images of G's own step: less work, one step stale")
    fp16_res: int = option(0, "so many highest resolutions run in 16 bit, on a GPU")
    phase_kimg: float = option(600.0, "progressive growing (stylegan1 presets): length of each fade and each stay")
    first_resolution: int = option(8, "progressive growing starts at this resolution")
    snapshot_kimg: float = option(50.0, "thousands of images between two snapshots")
    metric_samples: int = option(0, "samples for the Fréchet distance at each snapshot; 0: not measured")
    tensorboard: bool = option(False, "write TensorBoard scalars")
    cache_mb: int = option(2000, "decoded images kept in memory")

    @property
    def total_nimg(self) -> int:
        """How many real images the run shows."""
        return int(self.kimg * 1000)


# Fields that may differ when a run goes on; all others must be what they were.
FREE_FIELDS = frozenset(
    {"out", "kimg", "device", "accumulate", "snapshot_kimg", "metric_samples", "tensorboard", "cache_mb", "fp16_res"}
)


@dataclass(frozen=True)
class DatasetConfig:
    """How a folder of pictures becomes a training set."""

    resolution: int = option(128, "pixels a side, a power of two")
    crop: str = option(
        "centre",
        "centre: the largest square; faces: every face, aligned by eyes and mouth",
        choices=("centre", "faces"),
    )
    crop_scale: float = option(0.8, "faces: side of the crop in units of the FFHQ quad")
    crop_shift: float = option(0.08, "faces: downward shift of the crop in units of the eye-to-mouth distance")
    min_side: int = option(0, "reject squares or faces of fewer pixels a side (0: of fewer than half the resolution)")
    folders_as_labels: bool = option(False, "each subfolder is a class; else the labels of a dataset.json are kept")
    quality: int = option(0, "JPEG quality; 0 writes lossless PNG")
