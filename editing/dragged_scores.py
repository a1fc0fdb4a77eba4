"""How far from its target a dragged point ends, for scorecards: the drag distance of DragGAN (Pan et al. 2023)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from editing.operations.drag import parse_drags
from stylegan_core.errors import ConfigError

if TYPE_CHECKING:
    from inversion.task import Projection
    from stylegan_core.networks.protocol import Generator

DragScore = Callable[["Generator", "Projection"], "dict[str, float]"]


def drag_score(text: str) -> DragScore:
    """Return what scores the inversion of one aligned face by dragging its points, `x,y:x,y; ...` in 0..1 of the face.

    It returns `drag_distance`, the mean distance of the ends from their targets in pixels of the generator's image, and
    `drag_left`, the same as a share of the way. Raises `ConfigError` for points that make no sense."""
    pairs = parse_drags(text)
    outside = [pair for pair in pairs if not all(0 <= number <= 1 for point in pair for number in point)]
    if outside or not pairs:
        raise ConfigError(
            f"--drag '{text}' is not understood; expected x,y:x,y with numbers from 0 to 1, in units of the aligned "
            "face (as 0.4,0.68:0.38,0.65)"
        )

    def score(generator: Generator, found: Projection) -> dict[str, float]:
        import numpy as np

        from editing.drag import drag
        from editing.operations.render import Render
        from inversion.latents import Latent

        latent = Latent(
            found.ws,
            found.ws,
            {name: level[0, 0] for name, level in found.noise.items()},
            delta=found.deltas[0] if found.deltas else None,
            correction=found.corrections[0] if found.corrections else None,
        )
        starts, targets = (np.array([pair[side] for pair in pairs]) for side in (0, 1))
        ends = drag(Render(generator, latent), found.ws, starts, targets).ends
        left, way = (np.linalg.norm(targets - points, axis=1).mean() for points in (ends, starts))
        return {"drag_distance": float(left * generator.img_resolution), "drag_left": float(left / max(way, 1e-9))}

    return score
