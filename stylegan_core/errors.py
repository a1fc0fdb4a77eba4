"""The errors a caller can cause; the command line prints their text as one sentence and exits with 1."""


class ToolkitError(Exception):
    """A caller's mistake: what came, what was expected, what to do next."""


class ImageError(ToolkitError):
    """An image file that cannot be read, or whose size is out of bounds."""


class FaceNotFoundError(ToolkitError):
    """A photo without the face that was asked for."""


class LatentError(ToolkitError):
    """A latent or direction file that cannot be read."""


class LatentMismatchError(LatentError):
    """A latent or direction that belongs to another generator."""


class CheckpointError(ToolkitError):
    """A checkpoint that is damaged, incomplete or of an unknown format."""


class UnsafePickleError(CheckpointError):
    """A pickle that asks for something no checkpoint needs; nothing of it was executed."""


class WeightsUnavailableError(ToolkitError):
    """Pretrained weights that are not on this machine and could not be fetched."""


class OutputError(ToolkitError):
    """A place that cannot be written to."""


class ConfigError(ToolkitError):
    """An option, preset or recipe with a value that makes no sense."""


class DatasetError(ToolkitError):
    """A training set that is empty, mixed or damaged."""


class TrainingError(ToolkitError):
    """A training run that cannot start or go on."""


def one_line(error: BaseException) -> str:
    """Give an error's text as one line of at most 200 characters; its type's name where it has none."""
    return " ".join(str(error).split())[:200] or type(error).__name__
