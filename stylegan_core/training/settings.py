"""What a run trains with: its options, and for those left open what the objective's and the networks' papers say."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from stylegan_core.errors import ConfigError
from stylegan_core.networks.configs import StyleGAN1Config, StyleGAN2Config, StyleGAN3Config
from stylegan_core.networks.small_configs import AutoencoderConfig, DCGANConfig, LAPGANConfig
from stylegan_core.objectives import Objective, energy_based, get_objective
from stylegan_core.training.config import TrainConfig

CLIP = 0.01  # WGAN, algorithm 1


@dataclass(frozen=True)
class NetworkSettings:
    """What the paper of an architecture trains it with, where the objective does not say otherwise."""

    optimizer: str = "adam"
    lr_g: float = 2e-3
    lr_d: float = 2e-3
    betas: tuple[float, float] = (0.0, 0.99)
    r1_every: int = 16  # 0: no R1
    pl_every: int = 0
    style_mixing: float = 0.0
    augment: str = "ada"
    ema_kimg: float | None = None  # None: batch * 10 / 32
    phase_kimg: float = 0.0  # of progressive growing


STYLEGAN1 = NetworkSettings(lr_g=1e-3, lr_d=1e-3, augment="none", phase_kimg=600.0)
MICRO = NetworkSettings(augment="none")  # all resolutions at once, at StyleGAN2's rates
STYLEGAN2 = NetworkSettings(pl_every=4, style_mixing=0.9)
# StyleGAN2-ADA, appendix D: neither path lengths nor style mixing help at 32 pixels.
STYLEGAN2_CIFAR = NetworkSettings(lr_g=2.5e-3, lr_d=2.5e-3)
STYLEGAN3 = NetworkSettings(lr_g=2.5e-3)  # StyleGAN3, appendix G: neither of the two
DCGAN = NetworkSettings(lr_g=2e-4, lr_d=2e-4, betas=(0.5, 0.999), r1_every=0, augment="none", ema_kimg=0.0)
# LAPGAN's paper has SGD of falling rates; its successor's Adam is quicker and asks for no schedule.
LAPGAN = dataclasses.replace(DCGAN, lr_g=1e-3, lr_d=1e-3)
AUTOENCODER = dataclasses.replace(DCGAN, lr_g=1e-3, lr_d=1e-3, betas=(0.9, 0.999))
BY_TYPE: dict[type, NetworkSettings] = {
    StyleGAN1Config: STYLEGAN1,
    StyleGAN2Config: STYLEGAN2,
    StyleGAN3Config: STYLEGAN3,
    DCGANConfig: DCGAN,
    LAPGANConfig: LAPGAN,
    AutoencoderConfig: AUTOENCODER,
}


@dataclass(frozen=True)
class StepSettings:
    """The numbers of a training step, all decided."""

    optimizer_g: str
    optimizer_d: str
    lr_g: float
    lr_d: float
    beta1: float
    beta2: float
    n_critic: int
    clips: bool  # the critic's weights are clamped
    clip: float | None  # to this; None: see `clip_weights`
    penalty: str | None  # key of penalties.PENALTIES
    gp_weight: float
    r1_gamma: float
    r1_every: int  # 0: never
    r2: bool
    pl_every: int  # 0: never
    style_mixing: float
    augment: str  # ada, fixed, none
    ema_kimg: float
    phase_kimg: float


def objective_of(config: TrainConfig) -> Objective:
    """The losses that the options describe; BEGAN's at k_t = 0."""
    objective = get_objective(config.objective, config.real_label, config.g_objective)
    if config.objective == "ebgan":
        return dataclasses.replace(objective, d=energy_based(config.margin).d)
    return objective


def network_settings(generator_config: Any, preset: str = "") -> NetworkSettings:
    """What the paper of a generator's architecture trains with; `preset` where it was made from one."""
    if isinstance(generator_config, StyleGAN2Config) and generator_config.architecture == "orig":
        return STYLEGAN2_CIFAR
    if isinstance(generator_config, StyleGAN1Config):
        mixing = generator_config.style_mixing_prob
        return dataclasses.replace(MICRO if preset == "micro-stylegan" else STYLEGAN1, style_mixing=mixing)
    return BY_TYPE[type(generator_config)]


def decide(config: TrainConfig, objective: Objective, generator_config: Any) -> StepSettings:
    """Fill in what the options leave open: first from the objective's paper, then from the networks'."""
    theirs, networks = objective.settings, network_settings(generator_config, "" if config.init else config.preset)
    r1_every = networks.r1_every if theirs.r1_every is None else theirs.r1_every
    lr_g, lr_d = (networks.lr_g, networks.lr_d) if theirs.lr is None else (theirs.lr, theirs.lr)
    beta1, beta2 = networks.betas if theirs.betas is None else theirs.betas
    optimizer = theirs.optimizer or networks.optimizer
    rule = 0.0002 * generator_config.img_resolution**2 / config.batch  # StyleGAN2-ADA's `auto` setting
    return StepSettings(
        optimizer_g=_given(config.optimizer_g, optimizer),
        optimizer_d=_given(config.optimizer_d, optimizer),
        lr_g=_given(config.lr_g, lr_g),
        lr_d=_given(config.lr_d, lr_d),
        beta1=_given(config.beta1, beta1),
        beta2=_given(config.beta2, beta2),
        n_critic=_given(config.n_critic, theirs.num_critic),
        clips=theirs.clips,
        clip=config.clip,
        penalty=theirs.penalty,
        gp_weight=_given(config.gp_weight, theirs.penalty_weight),
        r1_gamma=_given(config.r1_gamma, _given(theirs.r1_gamma, rule)),
        r1_every=_given(config.r1_every, r1_every if theirs.r1 or config.r1_gamma is not None else 0),
        r2=_given(config.r2, theirs.r2),
        pl_every=_given(config.pl_every, networks.pl_every),
        style_mixing=_given(config.style_mixing, networks.style_mixing),
        augment=_augment(config, objective, networks),
        ema_kimg=_given(config.ema_kimg, _given(networks.ema_kimg, config.batch * 10 / 32)),
        phase_kimg=_given(config.phase_kimg, networks.phase_kimg),
    )


def _given(value: Any, otherwise: Any) -> Any:
    return otherwise if value is None else value


def _augment(config: TrainConfig, objective: Objective, networks: NetworkSettings) -> str:
    bounded = objective.pairs or objective.boundary is not None
    if config.augment == "ada" and not bounded:
        raise ConfigError(
            f"ada holds the share of real images on D's real side, and {config.objective} has no boundary between "
            "real and generated; use --augment fixed with --augment-p, or none"
        )
    if config.augment != "auto":
        return config.augment
    return networks.augment if bounded else "none"


def describe(config: TrainConfig, settings: StepSettings) -> str:
    """Say in a line what a run trains with; of an autoencoder the objective plays no part."""
    parts = [f"G {settings.optimizer_g} {settings.lr_g:g}", f"D {settings.optimizer_d} {settings.lr_d:g}"]
    if "adam" in (settings.optimizer_g, settings.optimizer_d):
        parts.append(f"betas {settings.beta1:g} {settings.beta2:g}")
    parts.append(f"{settings.n_critic} critic step{'s' * (settings.n_critic > 1)} for one of G")
    if settings.clips:
        limit = settings.clip
        parts.append("weights clipped to " + ("0.01 or their initial std" if limit is None else f"{limit:g}"))
    if settings.penalty:
        parts.append(f"{settings.penalty} penalty {settings.gp_weight:g}")
    if settings.r1_every:
        parts.append(f"R1{' and R2' * settings.r2} {settings.r1_gamma:.3g} every {settings.r1_every} steps")
    if settings.pl_every:
        parts.append(f"path length {config.pl_weight:g} every {settings.pl_every} steps")
    parts += [f"style mixing {settings.style_mixing:g}"] if settings.style_mixing else []
    parts.append(f"augmentation {settings.augment}")
    parts += _tricks(config)
    return f"{config.objective}: {', '.join(parts)}"


def _tricks(config: TrainConfig) -> list[str]:
    """What the objective's own knobs and the tricks beside it are set to, where they play a part."""
    began = f"gamma {config.gamma:g}, lambda_k {config.lambda_k:g}"
    said = {
        f"margin {config.margin:g}": config.objective == "ebgan",
        began: config.objective == "began",
        f"pull-away {config.pull_away:g}": config.pull_away > 0,
        f"G's loss of {config.g_objective}": config.g_objective is not None,
        f"real label {config.real_label:g}": config.real_label != 1,
        f"history of {config.history} fakes": config.history > 0,
        f"consistency {config.bcr:g}": config.bcr > 0,
    }
    return [text for text, plays in said.items() if plays]
