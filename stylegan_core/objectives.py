"""What discriminator and generator minimise: one table of objectives, losses per sample, the trainer takes the mean.

`real` and `fake` are the discriminator's raw outputs: logits [N] for a classifier or critic, reconstruction energies
[N] (>= 0) for the autoencoder critics of EBGAN and BEGAN.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus

from stylegan_core.errors import ConfigError
from stylegan_core.objective_settings import OBJECTIVE_SETTINGS, ObjectiveSettings


@dataclass(frozen=True)
class Objective:
    """A pair of per-sample losses: `d(real [N], fake [N])` and `g(fake [N])`, each [N]."""

    d: Callable[[Tensor, Tensor], Tensor]
    g: Callable[[Tensor], Tensor]
    settings: ObjectiveSettings
    critic: str = "logit"  # logit: a score; energy: the reconstruction error of an autoencoder
    pairs: bool = False  # what counts is real - fake: `g` takes that difference, fake - real
    boundary: float | None = 0.0  # of D's output between real and generated; None: only differences mean anything

    def real_side(self, real: Tensor, fake: Tensor) -> Tensor | None:
        """How far real outputs [N] lie on the real side of the boundary, of their pair where `pairs`; None: no such."""
        if self.pairs:
            return real - fake
        return None if self.boundary is None else real - self.boundary


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
        settings=OBJECTIVE_SETTINGS["ebgan"],
        critic="energy",
        boundary=None,
    )


def boundary_equilibrium(k: float = 0.0) -> Objective:
    """Make the BEGAN objective for a given k_t (Berthelot et al. 2017, section 3.4); `BeganBalance` moves k_t."""
    return Objective(
        d=lambda real, fake: real - k * fake,
        g=lambda fake: fake,
        settings=OBJECTIVE_SETTINGS["began"],
        critic="energy",
        boundary=None,
    )


def _saturating(fake: Tensor) -> Tensor:
    return -softplus(fake)  # log(1 - D)


def _wasserstein(name: str) -> Objective:
    settings = OBJECTIVE_SETTINGS[name]
    return Objective(d=lambda real, fake: fake - real, g=lambda fake: -fake, settings=settings, boundary=None)


# D's and G's losses as in the table of Lucic et al. 2018; D = sigmoid of the output where it is a probability.
OBJECTIVES: dict[str, Objective] = {
    "minimax": Objective(_logistic_d, _saturating, OBJECTIVE_SETTINGS["minimax"]),
    "non-saturating": Objective(_logistic_d, lambda fake: softplus(-fake), OBJECTIVE_SETTINGS["non-saturating"]),
    "least-squares": Objective(
        _least_squares_d, lambda fake: (fake - 1).square(), OBJECTIVE_SETTINGS["least-squares"], boundary=0.5
    ),
    "hinge": Objective(
        lambda real, fake: relu(1 - real) + relu(1 + fake), lambda fake: -fake, OBJECTIVE_SETTINGS["hinge"]
    ),
    "wgan": _wasserstein("wgan"),
    "wgan-gp": _wasserstein("wgan-gp"),
    "dragan": Objective(_logistic_d, _saturating, OBJECTIVE_SETTINGS["dragan"]),
    "relativistic": Objective(
        d=lambda real, fake: softplus(fake - real),  # softplus(-(D(x) - D(G(z))))
        g=lambda difference: softplus(-difference),
        settings=OBJECTIVE_SETTINGS["relativistic"],
        pairs=True,
        boundary=None,
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


def get_objective(name: str, real_label: float = 1.0, g_objective: str | None = None) -> Objective:
    """Look up an objective; `real_label` < 1 smooths the target of real samples, and of them alone (Salimans 2016).

    `g_objective` names the objective whose generator loss is taken instead, as "non-saturating" for "dragan"."""
    if name not in OBJECTIVES:
        raise ConfigError(f"no objective {name!r}; choose one of {', '.join(OBJECTIVES)}")
    objective = OBJECTIVES[name]
    if g_objective is not None:
        objective = _with_generator_of(name, g_objective)
    if real_label == 1.0:
        return objective
    if name not in _SMOOTHABLE:
        raise ConfigError(f"{name} has no target to smooth; label smoothing goes with {', '.join(_SMOOTHABLE)}")
    if not 0.5 < real_label < 1.0:
        raise ConfigError(f"smoothed real label {real_label} makes no sense; use a value between 0.5 and 1, as 0.9")
    smoothed = _SMOOTHABLE[name]
    boundary = real_label / 2 if name == "least-squares" else objective.boundary
    return replace(objective, d=lambda real, fake: smoothed(real, fake, real_label), boundary=boundary)


def _with_generator_of(name: str, other: str) -> Objective:
    objective = OBJECTIVES[name]
    fitting = [key for key, value in OBJECTIVES.items() if value.critic == objective.critic and not value.pairs]
    if objective.pairs or other not in fitting:
        choices = "its own alone" if objective.pairs else f"one of {', '.join(fitting)}"
        raise ConfigError(f"the generator's loss of {other!r} does not go with {name}; choose {choices}")
    return replace(objective, g=OBJECTIVES[other].g)


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
        self.labels: Tensor | None = None
        self.num_old = 0  # of the last batch, at its end

    def exchange(self, fakes: Tensor, labels: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return `fakes` [N, ...] and their `labels` [N, c_dim]: new ones first, then as many stored ones (`num_old`).

        What left the batch enters the store. Until the store is full it only grows and the batch stays as it was."""
        fakes = fakes.detach()
        num_stored = 0 if self.images is None else len(self.images)
        if num_stored < self.capacity:
            room = self.capacity - num_stored
            new, new_labels = fakes[:room].clone(), labels[:room].clone()
            self.images = new if self.images is None else torch.cat([self.images, new])
            self.labels = new_labels if self.labels is None else torch.cat([self.labels, new_labels])
            return fakes, labels
        assert self.images is not None and self.labels is not None
        num = min(len(fakes) // 2, self.capacity)
        slots = torch.randperm(self.capacity, generator=rng)[:num]
        leaving, staying = torch.randperm(len(fakes), generator=rng).split([num, len(fakes) - num])
        mixed = torch.cat([fakes[staying], self.images[slots]])
        mixed_labels = torch.cat([labels[staying], self.labels[slots]])
        self.images[slots], self.labels[slots] = fakes[leaving], labels[leaving]
        self.num_old = num
        return mixed, mixed_labels


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
