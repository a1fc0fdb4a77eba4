"""From a photo to a latent code, and from a rendered face back into the photo."""

from typing import TYPE_CHECKING

from stylegan_core.lazy import lazy_exports

if TYPE_CHECKING:
    from inversion.config import InvertConfig as InvertConfig
    from inversion.config import ProjectionConfig as ProjectionConfig
    from inversion.config import TuneConfig as TuneConfig
    from inversion.invert import InvertedFace as InvertedFace
    from inversion.invert import Inverter as Inverter
    from inversion.latents import Latent as Latent
    from inversion.latents import load_latent as load_latent
    from inversion.latents import save_latent as save_latent

__getattr__, __dir__, __all__ = lazy_exports(__name__, __file__)
