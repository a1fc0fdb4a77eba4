"""StyleGAN networks, checkpoints, training and metrics."""

import os
from typing import TYPE_CHECKING

from stylegan_core.lazy import lazy_exports

# OpenMP threads that spin while they wait make torch ten times slower where another process wants the cores as well
# (measured: docs/architecture.md). The setting counts only until torch is imported, hence here.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if TYPE_CHECKING:
    from stylegan_core.checkpoints.load import load_generator as load_generator
    from stylegan_core.directions import Direction as Direction
    from stylegan_core.directions import find_direction as find_direction
    from stylegan_core.errors import ToolkitError as ToolkitError
    from stylegan_core.images import Photo as Photo
    from stylegan_core.images import read_photo as read_photo
    from stylegan_core.networks.protocol import Generator as Generator

__getattr__, __dir__, __all__ = lazy_exports(__name__, __file__)
