"""Render the codes of one face with all that belongs to it: noise inputs, tuned weights, corrected features."""

from collections.abc import Callable, Mapping

from torch import Tensor

from inversion.carry import Carried
from inversion.correction import Correction
from inversion.delta import Delta, tuned_synthesis
from inversion.latents import Latent
from stylegan_core.networks.protocol import Generator


def face_renderer(
    generator: Generator, origin: Tensor, noise: Mapping[str, Tensor], delta: Delta | None = None,
    correction: Correction | None = None,
) -> Callable[[Tensor], Tensor]:  # fmt: skip
    """Return what renders ws [N, num_ws, w_dim] as [N, C, R, R] for the face whose inversion is `origin` [1, ...].

    `noise` are its inputs, [H, W] by layer."""
    render = tuned_synthesis(generator, delta)
    if correction is not None:
        return Carried(generator, correction, origin, render, noise)
    return lambda ws: render(ws, noise_mode="const", **({"noise": noise} if noise else {}))


def renderer(generator: Generator, latent: Latent) -> Callable[[Tensor], Tensor]:
    """Return what renders codes [N, num_ws, w_dim] with all that a latent holds beside its code."""
    device = generator.w_avg.device
    noise = {name: level.to(device) for name, level in latent.noise.items()}
    return face_renderer(generator, latent.origin.to(device), noise, latent.delta, latent.correction)
