"""What discriminator and generator minimise: one table of objectives, losses per sample, the trainer takes the mean.

`real` and `fake` are the discriminator's raw outputs: logits [N] for a classifier or critic, reconstruction energies
[N] (>= 0) for the autoencoder critics of EBGAN and BEGAN.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus

from stylegan_core.errors import ConfigError


@dataclass(frozen=True)
class Recipe:
    """The optimiser settings that the objective's own paper trains with."""

    optimizer: str = "adam"  # adam or rmsprop
    lr: float = 2e-4  # learning rate of both networks
    betas: tuple[float, float] = (0.5, 0.999)  # Adam's moments
    num_critic: int = 1  # discriminator steps for one of the generator
    clip: float | None = None  # weights of the critic are clamped to [-clip, clip]
    penalty: str | None = None  # key of penalties.PENALTIES
    penalty_weight: float = 0.0  # factor of that penalty


@dataclass(frozen=True)
class Objective:
    """A pair of per-sample losses: `d(real [N], fake [N])` and `g(fake [N])`, each [N]."""

    d: Callable[[Tensor, Tensor], Tensor]
    g: Callable[[Tensor], Tensor]
    critic: str = "logit"  # logit: a score; energy: the reconstruction error of an autoencoder
    recipe: Recipe = field(default_factory=Recipe)


def _logistic_d(real: Tensor, fake: Tensor, real_label: float = 1.0) -> Tensor:
    # Cross entropy with target `real_label`: softplus(x) - a x; the fake side keeps target 0 (one-sided smoothing).
    return softplus(real) - real_label * real + softplus(fake)


def _least_squares_d(real: Tensor, fake: Tensor, real_label: float = 1.0) -> Tensor:
    return (real - real_label).square() + fake.square()


def energy_based(margin: float = 10.0) -> Objective:
    """Make the EBGAN objective (Zhao et al. 2016, eq. 1-2): fakes are pushed up to `margin`, not further."""
    return Objective(
        d=lambda real, fake: real + relu(margin - fake),
        g=lambda fake: fake,
        critic="energy",
        recipe=Recipe(lr=1e-3),
    )


def boundary_equilibrium(k: float = 0.0) -> Objective:
    """Make the BEGAN objective for a given k_t (Berthelot et al. 2017, section 3.4); `BeganBalance` moves k_t."""
    return Objective(
        d=lambda real, fake: real - k * fake,
        g=lambda fake: fake,
        critic="energy",
        recipe=Recipe(lr=1e-4),
    )


_WGAN = Objective(d=lambda real, fake: fake - real, g=lambda fake: -fake)

OBJECTIVES: dict[str, Objective] = {
    "minimax": Objective(d=_logistic_d, g=lambda fake: -softplus(fake)),
    "non-saturating": Objective(d=_logistic_d, g=lambda fake: softplus(-fake)),
    "least-squares": Objective(d=_least_squares_d, g=lambda fake: (fake - 1).square()),
    "hinge": Objective(
        d=lambda real, fake: relu(1 - real) + relu(1 + fake),
        g=lambda fake: -fake,
        recipe=Recipe(betas=(0.0, 0.9)),
    ),
    "wgan": replace(_WGAN, recipe=Recipe(optimizer="rmsprop", lr=5e-5, num_critic=5, clip=0.01)),
    "wgan-gp": replace(
        _WGAN, recipe=Recipe(lr=1e-4, betas=(0.0, 0.9), num_critic=5, penalty="gp", penalty_weight=10.0)
    ),
    "dragan": Objective(
        d=_logistic_d,
        g=lambda fake: softplus(-fake),
        recipe=Recipe(penalty="dragan", penalty_weight=10.0),
    ),
    "ebgan": energy_based(),
    "began": boundary_equilibrium(),
}

_SMOOTHABLE = {
    "minimax": _logistic_d,
    "non-saturating": _logistic_d,
    "dragan": _logistic_d,
    "least-squares": _least_squares_d,
}


def get_objective(name: str, real_label: float = 1.0) -> Objective:
    """Look up an objective; `real_label` < 1 smooths the target of real samples, and of them alone (Salimans 2016)."""
    if name not in OBJECTIVES:
        raise ConfigError(f"no objective {name!r}; choose one of {', '.join(OBJECTIVES)}")
    objective = OBJECTIVES[name]
    if real_label == 1.0:
        return objective
    if name not in _SMOOTHABLE:
        raise ConfigError(f"{name} has no target to smooth; label smoothing goes with {', '.join(_SMOOTHABLE)}")
    if not 0.5 < real_label < 1.0:
        raise ConfigError(f"smoothed real label {real_label} makes no sense; use a value between 0.5 and 1, as 0.9")
    smoothed = _SMOOTHABLE[name]
    return replace(objective, d=lambda real, fake: smoothed(real, fake, real_label))


class BeganBalance:
    """BEGAN's proportional controller: keeps E[fake energy] at `gamma` times E[real energy] by moving k_t in [0, 1]."""

    def __init__(self, gamma: float = 0.5, rate: float = 1e-3, k: float = 0.0) -> None:
        self.gamma = gamma
        self.rate = rate
        self.k = k

    def objective(self) -> Objective:
        """Give the objective at the present k_t."""
        return boundary_equilibrium(self.k)

    def update(self, real: Tensor, fake: Tensor) -> float:
        """Move k_t by the energies [N] of a batch; return the convergence measure L(x) + |gamma L(x) - L(G(z))|."""
        real_mean, fake_mean = float(real.detach().mean()), float(fake.detach().mean())
        imbalance = self.gamma * real_mean - fake_mean
        self.k = min(max(self.k + self.rate * imbalance, 0.0), 1.0)
        return real_mean + abs(imbalance)


class AdaptiveSchedule:
    """Train a network only while its last loss is over its threshold: `t_d` for D, `t_g` for G.

    A network that rests is looked at again at every step, so it resumes once the other has overtaken it. When both
    rest, both train: otherwise nothing would ever change again."""

    def __init__(self, t_d: float, t_g: float) -> None:
        self.t_d = t_d
        self.t_g = t_g

    def decide(self, loss_d: float, loss_g: float) -> tuple[bool, bool]:
        """Say whether to train (D, G) in this step, given the losses of this step's batch."""
        train_d, train_g = loss_d > self.t_d, loss_g > self.t_g
        return (True, True) if not (train_d or train_g) else (train_d, train_g)


class HistoryBuffer:
    """A store of earlier fakes (Shrivastava et al. 2017, 2.3): half of each batch shown to D comes from the past."""

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ConfigError(f"a history of {capacity} images holds nothing; give 1 or more")
        self.capacity = capacity
        self.images: Tensor | None = None

    def exchange(self, fakes: Tensor, rng: torch.Generator) -> Tensor:
        """Return `fakes` [N, ...] with half of them exchanged for stored ones; what left the batch enters the store.

        Until the store is full it only grows and the batch comes back as it was."""
        fakes = fakes.detach()
        num_stored = 0 if self.images is None else len(self.images)
        if num_stored < self.capacity:
            kept = fakes[: self.capacity - num_stored].clone()
            self.images = kept if self.images is None else torch.cat([self.images, kept])
            return fakes
        assert self.images is not None
        num = min(len(fakes) // 2, self.capacity)
        slots = torch.randperm(self.capacity, generator=rng)[:num]
        places = torch.randperm(len(fakes), generator=rng)[:num]
        mixed = fakes.clone()
        mixed[places] = self.images[slots]
        self.images[slots] = fakes[places]
        return mixed


def sample_sphere(num: int, dim: int, rng: torch.Generator) -> Tensor:
    """Draw z [num, dim] uniformly from the sphere of radius sqrt(dim), where Gaussian z concentrate."""
    z = torch.randn(num, dim, generator=rng)
    return z / z.norm(dim=1, keepdim=True) * dim**0.5


def great_circle(a: Tensor, b: Tensor, t: Tensor | float) -> Tensor:
    """Interpolate on the great circle from a to b [..., dim] (slerp, White 2016): t=0 gives a, t=1 gives b.

    Lengths are interpolated linearly. For parallel vectors it is the straight line; for opposite ones the circle is
    not determined, and a fixed one through the first axis not parallel to a is taken."""
    length_a, length_b = a.norm(dim=-1, keepdim=True), b.norm(dim=-1, keepdim=True)
    unit_a, unit_b = a / length_a, b / length_b
    cosine = (unit_a * unit_b).sum(-1, keepdim=True).clamp(-1, 1)
    # The direction in the plane of a and b that stands on a.
    tangent = unit_b - cosine * unit_a
    fallback = torch.zeros_like(unit_a).scatter_(-1, unit_a.abs().argmin(-1, keepdim=True), 1.0)
    fallback = fallback - (fallback * unit_a).sum(-1, keepdim=True) * unit_a
    sine = tangent.norm(dim=-1, keepdim=True)
    degenerate = sine < 1e-6
    tangent = torch.where(degenerate, fallback / fallback.norm(dim=-1, keepdim=True), tangent / sine.clamp_min(1e-12))
    angle = torch.atan2(torch.where(degenerate, torch.zeros_like(sine), sine), cosine) * t
    return (torch.cos(angle) * unit_a + torch.sin(angle) * tangent) * torch.lerp(
        length_a, length_b, torch.as_tensor(t, dtype=a.dtype, device=a.device)
    )
