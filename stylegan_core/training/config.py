"""What defines a training run; no torch here, so that the command line can read the fields quickly."""

from dataclasses import dataclass
from typing import ClassVar

from stylegan_core.device_names import check_device
from stylegan_core.networks.configs import PRESET_LINES
from stylegan_core.objective_settings import OBJECTIVE_SETTINGS
from stylegan_core.options import option

RUN = "Run"
NETWORKS = "Networks"
OBJECTIVE = "Objective and balance (defaults are those of the objective's and the networks' papers)"
REGULARISERS = "Regularisers"
AUGMENTATION = "Augmentation"
TRANSFER = "Transfer, small data, small machines"
REPORTS = "Reports"
TRAIN_SECTIONS = {  # of `train --help`
    "Presets (--preset)": PRESET_LINES,
    "Objectives (--objective)": {name: settings.about for name, settings in OBJECTIVE_SETTINGS.items()},
}
OPTIMIZERS = ("adam", "rmsprop", "sgd")


@dataclass(frozen=True)
class TrainConfig:
    """A training run."""

    EVERYDAY: ClassVar[tuple[str, ...]] = (
        "data", "out", "resolution", "kimg", "batch", "seed", "device", "mirror", "labels", "preset", "objective",
    )  # fmt: skip

    data: str = option("", "folder or zip of square images, with dataset.json for labels", group=RUN)
    out: str = option("training-run", "folder of snapshots; the same command goes on where it stopped", group=RUN)
    resolution: int | None = option(
        None, "pixels; images are shrunk to it (None: the images' own)", type=int, group=RUN
    )
    kimg: float = option(25000.0, "thousands of real images to show", group=RUN)
    batch: int = option(16, "images a step, over all processes", group=RUN)
    accumulate: int = option(1, "parts a process splits its share of the batch into, to save memory", group=RUN)
    seed: int = option(0, "of weights, data order and all other randomness", group=RUN)
    device: str = option("auto", "auto, cpu, cuda or mps", check=check_device, group=RUN)
    mirror: bool = option(True, "show mirrored images too", group=RUN)
    labels: bool = option(False, "train on the labels of dataset.json", group=RUN)
    snapshot_kimg: float = option(50.0, "thousands of images between two snapshots", group=RUN)
    fp16_res: int = option(0, "so many highest resolutions run in 16 bit, on a GPU", group=RUN)
    cache_mb: int = option(2000, "decoded images kept in memory", group=RUN)

    preset: str = option("stylegan2-ada", "networks, one of the presets below", group=NETWORKS)
    discriminator: str = option(
        "stylegan2",
        "stylegan2: the preset's own; projected: pretrained features, for small data",
        choices=("stylegan2", "projected"),
        group=NETWORKS,
    )
    z_dim: int | None = option(None, "length of z, or of an autoencoder's code", type=int, group=NETWORKS)
    w_dim: int | None = option(None, "length of w", type=int, group=NETWORKS)
    mapping_layers: int | None = option(None, "layers of the mapping network", type=int, group=NETWORKS)
    channel_base: int | None = option(
        None, "feature maps at r pixels: min(channel_base / r, channel_max)", type=int, group=NETWORKS
    )
    channel_max: int | None = option(None, "most feature maps of a layer", type=int, group=NETWORKS)
    width: int | None = option(None, "feature maps of lapgan, autoencoder and vae", type=int, group=NETWORKS)
    upsampling: str | None = option(
        None, "of dcgan (None: transposed)", choices=("transposed", "pixelshuffle"), group=NETWORKS
    )
    spectral_norm: bool = option(
        False, "dcgan: D's convolutions divided by their largest singular value, in place of batch norm", group=NETWORKS
    )
    minibatch_std: bool = option(
        False, "dcgan: D sees how far the images of a batch differ (the StyleGANs' always does)", group=NETWORKS
    )
    critic_code: int | None = option(
        None, "ebgan, began: length of the autoencoder critic's code (None: 64)", type=int, group=NETWORKS
    )
    critic_power: int | None = option(
        None,
        "ebgan, began: of the error that is the energy, 1: absolute, 2: squared (None: 2 for ebgan, 1 for began)",
        type=int,
        group=NETWORKS,
    )
    kl_weight: float = option(1.0, "vae: weight of the divergence from the prior", group=NETWORKS)
    projected_side: int = option(96, "pixels to which the projected discriminator resizes images", group=NETWORKS)
    phase_kimg: float | None = option(
        None,
        "progressive growing: length of each fade and each stay (None: 600 for stylegan1 presets)",
        type=float,
        group=NETWORKS,
    )
    first_resolution: int = option(8, "progressive growing starts at this resolution", group=NETWORKS)

    objective: str = option("non-saturating", "one of the objectives below", group=OBJECTIVE)
    g_objective: str | None = option(
        None, "objective whose generator loss is used instead (non-saturating for dragan)", type=str, group=OBJECTIVE
    )
    optimizer_g: str | None = option(None, "of the generator", choices=OPTIMIZERS, group=OBJECTIVE)
    optimizer_d: str | None = option(None, "of the discriminator", choices=OPTIMIZERS, group=OBJECTIVE)
    lr_g: float | None = option(None, "learning rate of the generator", type=float, group=OBJECTIVE)
    lr_d: float | None = option(None, "learning rate of the discriminator", type=float, group=OBJECTIVE)
    beta1: float | None = option(None, "Adam's first moment; SGD's momentum", type=float, group=OBJECTIVE)
    beta2: float | None = option(None, "Adam's second moment", type=float, group=OBJECTIVE)
    anneal: float = option(0.0, "last share of the run over which learning rates fall to zero", group=OBJECTIVE)
    n_critic: int | None = option(None, "discriminator steps for one of the generator", type=int, group=OBJECTIVE)
    real_label: float = option(1.0, "one-sided smoothing of D's target for real images", group=OBJECTIVE)
    history: int = option(0, "earlier fakes kept for D; 0: none", group=OBJECTIVE)
    adaptive_d: float | None = option(None, "D rests while its loss is at or under this", type=float, group=OBJECTIVE)
    adaptive_g: float | None = option(None, "G rests while its loss is at or under this", type=float, group=OBJECTIVE)
    ema_kimg: float | None = option(
        None, "half-life of the averaged weights; 0: no average (None: batch * 10 / 32)", type=float, group=OBJECTIVE
    )
    ema_rampup: float = option(
        0.05, "half-life is at most this share of the images seen; 0: no such limit", group=OBJECTIVE
    )

    clip: float | None = option(
        None,
        "wgan: largest weight of the critic, as it acts (None: 0.01, and one standard deviation of its initial "
        "weights for a layer of equalised learning rate)",
        type=float,
        group=REGULARISERS,
    )
    gp_weight: float | None = option(
        None, "weight of the slope penalty (None: 10 for wgan-gp and dragan)", type=float, group=REGULARISERS
    )
    dragan_c: float | None = option(
        None,
        "dragan: variance of the noise on real images (None: a quarter of the batch's)",
        type=float,
        group=REGULARISERS,
    )
    margin: float = option(10.0, "ebgan: energy to which generated images are pushed up", group=REGULARISERS)
    pull_away: float = option(
        0.0, "ebgan: weight of the term that pulls the codes of generated images apart", group=REGULARISERS
    )
    gamma: float = option(0.5, "began: energy of generated images, in units of that of real ones", group=REGULARISERS)
    lambda_k: float = option(
        0.001,
        "began: how fast k_t follows; the paper's is for some 100,000 steps, a run of hundreds wants 0.1 or more",
        group=REGULARISERS,
    )
    r1_gamma: float | None = option(
        None, "weight of R1 (None: 0.0002 resolution^2 / batch; relativistic: 1)", type=float, group=REGULARISERS
    )
    r1_every: int | None = option(
        None,
        "steps between two R1 steps; 0: never (None: 16 for StyleGANs, 1 for relativistic; 0 where the objective has "
        "another constraint)",
        type=int,
        group=REGULARISERS,
    )
    r2: bool | None = option(
        None, "R1 at generated images too (None: with relativistic)", type=bool, group=REGULARISERS
    )
    pl_weight: float = option(2.0, "weight of the path length penalty", group=REGULARISERS)
    pl_every: int | None = option(
        None,
        "steps between two path length steps; 0: never (None: 4 for StyleGAN2 but stylegan2-cifar, else 0)",
        type=int,
        group=REGULARISERS,
    )
    pl_shrink: int = option(2, "the path length step takes 1/pl_shrink of the batch", group=REGULARISERS)
    style_mixing: float | None = option(
        None,
        "probability that two z make one image (None: the paper's: 0.9 for stylegan1-f and StyleGAN2, else 0)",
        type=float,
        group=REGULARISERS,
    )

    bcr: float = option(
        0.0, "weight of balanced consistency: D says the same of a shifted or mirrored image", group=AUGMENTATION
    )
    crop_d: int = option(0, "pixels of random crops that a second discriminator judges; 0: none", group=OBJECTIVE)
    crop_weight: float = option(1.0, "weight of what it says in the generator's loss", group=OBJECTIVE)
    augment: str = option(
        "auto",
        "ada: adaptive; fixed: always augment_p; none; auto: ada for StyleGAN2 and 3 where the objective has a "
        "boundary between real and generated",
        choices=("auto", "ada", "fixed", "none"),
        group=AUGMENTATION,
    )
    augment_groups: str = option(
        "bgc", "blit, geometric, colour, filter, corruption, or letters: bgc, bgcfnc", group=AUGMENTATION
    )
    augment_p: float = option(0.0, "probability of each transform: fixed, or where ada starts", group=AUGMENTATION)
    ada_target: float = option(
        0.6, "what the mean sign of D's real outputs about the boundary is held at", group=AUGMENTATION
    )
    ada_kimg: float = option(500.0, "thousands of images for p to go from 0 to 1", group=AUGMENTATION)

    freeze_d: int = option(0, "highest resolutions of D that stay as they are (transfer learning)", group=TRANSFER)
    freeze_mapping: bool = option(False, "the mapping network stays as it is", group=TRANSFER)
    init: str = option("", "checkpoint to start from; one of a lower resolution grows (StyleGAN2)", group=TRANSFER)
    grow_channels: int | None = option(
        None, "feature maps of what it grows (None: its own rule)", type=int, group=TRANSFER
    )
    warm_start: str = option(
        "none",
        "pca: regression on principal components before the adversarial training",
        choices=("none", "pca"),
        group=TRANSFER,
    )
    warm_kimg: float = option(40.0, "thousands of images of that regression", group=TRANSFER)
    anchor: str = option(
        "", "linear encoder of --init, or .npz of codes, that must go on drawing the training images", group=TRANSFER
    )
    anchor_weight: float = option(0.5, "weight of that", group=TRANSFER)
    anchor_every: int = option(2, "steps between two looks at the anchor", group=TRANSFER)
    reuse_fakes: bool = option(False, "show D the images of G's own step: less work, one step stale", group=TRANSFER)

    metric_samples: int = option(0, "samples for the Fréchet distance at each snapshot; 0: not measured", group=REPORTS)
    tensorboard: bool = option(False, "write TensorBoard scalars", group=REPORTS)

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

    resolution: int = option(128, "pixels a side, a power of two (or 28, for a dcgan)")
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
