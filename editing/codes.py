"""How texts become codes: a latent's file, a seed's number."""

from pathlib import Path
from typing import Any

import torch

from editing.operations.base import OpenCode
from inversion.latents import Latent, check_generator, load_latent
from stylegan_core.errors import ConfigError
from stylegan_core.generate import generate_ws
from stylegan_core.networks.protocol import Generator
from stylegan_core.seed_numbers import parse_seeds


def latent_of_code(generator: Generator, ws: torch.Tensor, report: dict[str, Any]) -> Latent:
    """Wrap a code [1, num_ws, w_dim] that came from no photo."""
    meta = generator.meta
    about = {"generator": meta.name, "generator_fingerprint": meta.fingerprint, **report}
    return Latent(ws=ws.cpu(), origin=ws.cpu(), generator=meta.fingerprint, space="w", report=about)


def open_code(text: str | Latent, generator: Generator) -> Latent:
    """Load the latent of a file, or make that of a seed's number; refuse another generator's."""
    if isinstance(text, str) and text.isdigit():
        return latent_of_code(generator, generate_ws(generator, parse_seeds(text)), {"seed": int(text)})
    if isinstance(text, str) and Path(text).suffix != ".npz" and Path(text).exists():
        raise ConfigError(f"{text}: neither a latent (.npz) nor the number of a seed; invert the photo first")
    latent = text if isinstance(text, Latent) else load_latent(text)
    check_generator(latent, generator, text if isinstance(text, str) else "the latent")
    return latent


def code_opener(generator: Generator) -> OpenCode:
    """Return what opens the codes that operations name, where no photo can be inverted."""
    return lambda text: open_code(text, generator)
