"""What each objective's own paper trains with; no torch here, so that the command line can list them quickly."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ObjectiveSettings:
    """Settings of an objective; None leaves a choice to the networks' own paper (`training.settings`)."""

    about: str  # one line for `train --help`
    optimizer: str | None = None  # adam, rmsprop or sgd
    lr: float | None = None  # learning rate of both networks
    betas: tuple[float, float] | None = None  # Adam's moments
    num_critic: int = 1  # discriminator steps for one of the generator
    clips: bool = False  # the critic's weights are clamped after each step
    penalty: str | None = None  # key of penalties.PENALTIES
    penalty_weight: float = 0.0  # factor of that penalty
    r1: bool = True  # R1 where the networks' paper has it; False: another constraint is in its place
    r1_gamma: float | None = None  # weight of R1
    r1_every: int | None = None  # steps between two R1 steps
    r2: bool = False  # R1's counterpart at generated images too


OBJECTIVE_SETTINGS: dict[str, ObjectiveSettings] = {
    "minimax": ObjectiveSettings("the two-player game as first written; G saturates (Goodfellow 2014)"),
    "non-saturating": ObjectiveSettings("G maximises log D instead (Goodfellow 2014; StyleGAN)"),
    "least-squares": ObjectiveSettings(
        "squared distances to the labels 0 and 1 (LSGAN, Mao 2017)", "adam", 2e-4, (0.5, 0.999)
    ),
    "hinge": ObjectiveSettings("hinge losses (Lim and Ye 2017; SAGAN)", "adam", 2e-4, (0.0, 0.9)),
    "wgan": ObjectiveSettings(
        "earth mover's distance by a critic of clipped weights (Arjovsky 2017)",
        "rmsprop",
        5e-5,
        num_critic=5,
        clips=True,
        r1=False,
    ),
    "wgan-gp": ObjectiveSettings(
        "the same by a penalty on the critic's slope (Gulrajani 2017)",
        "adam",
        1e-4,
        (0.0, 0.9),
        num_critic=5,
        penalty="gp",
        penalty_weight=10.0,
        r1=False,
    ),
    "dragan": ObjectiveSettings(
        "minimax with a slope penalty around the data (Kodali 2017)",
        "adam",
        2e-4,
        (0.5, 0.999),
        penalty="dragan",
        penalty_weight=10.0,
        r1=False,
    ),
    "relativistic": ObjectiveSettings(
        "real and generated judged in pairs, with R1 and R2 (R3GAN, Huang 2024)",
        "adam",
        2e-4,
        (0.0, 0.99),
        r1_gamma=1.0,
        r1_every=1,
        r2=True,
    ),
    "ebgan": ObjectiveSettings(
        "an autoencoder's error as energy, up to a margin (Zhao 2016)", "adam", 1e-3, (0.5, 0.999), r1=False
    ),
    "began": ObjectiveSettings(
        "the same, both energies kept in balance by k_t (Berthelot 2017)", "adam", 1e-4, (0.5, 0.999), r1=False
    ),
}
