"""What of a run's options makes no sense together; no torch here, so that a mistake is named early."""

from pathlib import Path
from zipfile import is_zipfile

from stylegan_core.errors import ConfigError, DatasetError
from stylegan_core.files import place_problem
from stylegan_core.networks.configs import PRESETS
from stylegan_core.objective_settings import OBJECTIVE_SETTINGS
from stylegan_core.photo_files import SUFFIXES
from stylegan_core.spelling import suggestion
from stylegan_core.training.config import TrainConfig

DISCRIMINATORS = ("stylegan2", "projected")


def check_data(path: str) -> None:
    """Refuse a training set that is not named, not there, or empty; raises `ConfigError` or `DatasetError`."""
    if not path:
        raise ConfigError("no training images given: --data FOLDER or --data FILE.zip")
    place = Path(path)
    if not place.exists():
        raise DatasetError(f"{path}: no such folder or zip; check the path")
    if place.is_file() and not is_zipfile(place):
        raise DatasetError(f"{path}: neither a folder nor a zip; give one of the two")
    if place.is_dir() and not any(file.name.lower().endswith(SUFFIXES) for file in place.rglob("*")):
        raise DatasetError(f"{path}: no images in it; give a folder or zip of square pictures")


def check_config(config: TrainConfig, world_size: int = 1) -> None:
    """Refuse values that make no sense, before anything is read or written."""
    check_data(config.data)
    if problem := place_problem(config.out, folder=True):
        raise ConfigError(f"--out {problem}")
    choices = {
        "preset": (config.preset, tuple(PRESETS)),
        "objective": (config.objective, tuple(OBJECTIVE_SETTINGS)),
        "discriminator": (config.discriminator, DISCRIMINATORS),
        "augment": (config.augment, ("auto", "ada", "fixed", "none")),
        "warm_start": (config.warm_start, ("none", "pca")),
    }
    for name, (value, allowed) in choices.items():
        if value not in allowed:
            raise ConfigError(f"{name} is {value!r}; choose one of {', '.join(allowed)}{suggestion(value, allowed)}")
    _check_ranges(config)
    parts = world_size * config.accumulate
    if config.batch % parts:
        raise ConfigError(
            f"a batch of {config.batch} does not divide into {world_size} processes times {config.accumulate} parts"
        )
    if config.pl_every != 0 and max(config.batch // config.pl_shrink, parts) % parts:
        raise ConfigError(
            f"the path length's batch of {config.batch // config.pl_shrink} does not divide into {parts} parts; "
            "give another --pl-shrink"
        )
    if config.history and world_size * config.accumulate > 1:
        raise ConfigError("a history of fakes needs one process and no accumulation")
    if config.discriminator == "projected" and config.projected_side < 32:
        raise ConfigError(f"projected_side is {config.projected_side}; the pretrained features need 32 pixels or more")
    if config.pull_away and config.objective != "ebgan":
        raise ConfigError(f"--pull-away is a term of ebgan; {config.objective} has no codes to pull apart")
    critic = {"--critic-code": config.critic_code, "--critic-power": config.critic_power}
    given = [name for name, value in critic.items() if value is not None]
    if given and config.objective not in ("ebgan", "began"):
        raise ConfigError(
            f"{' and '.join(given)} are of the autoencoder critics of ebgan and began; {config.objective} has none"
        )
    if config.discriminator == "projected" and config.objective == "wgan":
        raise ConfigError(
            "wgan clips its critic's weights, and the projected discriminator's are normalised already; "
            "choose another objective, as hinge"
        )
    if config.spectral_norm and config.objective == "wgan":
        raise ConfigError("wgan bounds its critic by clipping, spectral norm by another way; leave out one of them")
    if config.init and config.warm_start != "none":
        raise ConfigError("--init and --warm-start exclude each other: a network can start from one of them")
    from stylegan_core.training.settings import objective_of  # which loads torch

    if objective_of(config).critic == "energy" and (config.discriminator == "projected" or config.labels):
        what = "--labels" if config.labels else "the projected discriminator"
        raise ConfigError(f"{config.objective} has an autoencoder for its critic, which does not go with {what}")


_POSITIVE = (
    "kimg",
    "batch",
    "accumulate",
    "lr_g",
    "lr_d",
    "pl_shrink",
    "snapshot_kimg",
    "ada_kimg",
    "n_critic",
    "clip",
    "gamma",
    "lambda_k",
    "critic_code",
)
_NOT_NEGATIVE = ("r1_gamma", "r1_every", "pl_every", "pl_weight", "gp_weight", "dragan_c", "ema_kimg", "history")
_SHARES = ("augment_p", "anneal", "style_mixing", "beta1", "beta2")


def _check_ranges(config: TrainConfig) -> None:
    for names, fits, rule in (
        (_POSITIVE, lambda value: value > 0, "it must be over 0"),
        (_NOT_NEGATIVE, lambda value: value >= 0, "it must be 0 or more"),
        (_SHARES, lambda value: 0 <= value <= 1, "it must be from 0 to 1"),
    ):
        for name in names:
            value = getattr(config, name)
            if value is not None and not fits(value):
                raise ConfigError(f"{name} is {value}; {rule}")
