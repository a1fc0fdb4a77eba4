"""Render the codes of one face with all that belongs to it: noise inputs, tuned weights, corrected features."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from inversion.carry import Carried
from inversion.correction import Correction, blend
from inversion.delta import Delta, tuned_synthesis
from inversion.latents import Latent
from stylegan_core.errors import ConfigError
from stylegan_core.networks.protocol import Generator
from stylegan_core.styles import Styles


def face_renderer(
    generator: Generator, origin: Tensor, noise: Mapping[str, Tensor], delta: Delta | None = None,
    correction: Correction | None = None, styles: Styles | None = None,
) -> Callable[[Tensor], Tensor]:  # fmt: skip
    """Return what renders ws [N, num_ws, w_dim] as [N, C, R, R] for the face whose inversion is `origin` [1, ...].

    `noise` are its inputs, [H, W] by layer; `styles` are added to the styles of every code."""
    if correction is not None:
        return Carried(generator, correction, origin, noise, delta, styles)
    render = tuned_synthesis(generator, delta, styles)
    return lambda ws: render(ws, noise_mode="const", **({"noise": noise} if noise else {}))


def renderer(generator: Generator, latent: Latent) -> Callable[[Tensor], Tensor]:
    """Return what renders codes [N, num_ws, w_dim] with all that a latent holds beside its code."""
    device = generator.w_avg.device
    noise = {name: level.to(device) for name, level in latent.noise.items()}
    return face_renderer(generator, latent.origin.to(device), noise, latent.delta, latent.correction, latent.styles)


def render_code(generator: Generator, latent: Latent, origin: bool = False) -> Tensor:
    """Render a latent, or its origin, as [1, C, R, R] in about [-1, 1], with all that it holds beside its code."""
    shown = latent.unedited() if origin else latent
    with torch.no_grad():
        return renderer(generator, shown)(shown.ws.to(generator.w_avg.device))


def blend_corrections(
    generator: Generator, latents: Sequence[Latent], shares: Sequence[float], ws: Tensor
) -> Correction | None:
    """Return the corrections of latents, weighted by `shares` and carried to ws [1, num_ws, w_dim]; None without any.

    Raises `ConfigError` where they are of different layers."""
    corrected = [(latent, share) for latent, share in zip(latents, shares, strict=True) if latent.correction]
    if not corrected:
        return None
    layers = {latent.correction.layer for latent, _ in corrected if latent.correction}
    if len(layers) > 1:
        raise ConfigError(
            f"the latents correct different layers ({', '.join(sorted(layers))}), between which there is no way; "
            "invert the photos with the same --f-side"
        )
    carried = [renderer(generator, latent) for latent, _ in corrected]
    device = generator.w_avg.device
    features = [one.at(ws.to(device), whole=True) for one in carried if isinstance(one, Carried)]
    return blend(features, [share for _, share in corrected], layers.pop())
