"""Loading and saving generators: our safetensors files, and foreign formats without running their code."""

from stylegan_core.checkpoints.assemble import Checkpoint, fingerprint
from stylegan_core.checkpoints.load import load_checkpoint, load_generator
from stylegan_core.checkpoints.native import Description, save_generator, save_snapshot

__all__ = [
    "Checkpoint",
    "Description",
    "fingerprint",
    "load_checkpoint",
    "load_generator",
    "save_generator",
    "save_snapshot",
]
