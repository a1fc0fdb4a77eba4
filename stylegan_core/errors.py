"""The errors a caller can cause; the command line prints their text as one sentence and exits with 1."""

import re


class ToolkitError(Exception):
    """A caller's mistake: what came, what was expected, what to do next."""


def sentence_of(error: BaseException) -> str:
    """Return one sentence for a failure: a `ToolkitError`'s own, what to lower where memory ran out, else its type."""
    text = " ".join(str(error).split())
    if isinstance(error, ToolkitError):
        return text
    if ran_out_of_memory(error):
        asked = re.search(r"[Tt]ried to allocate ([\d.]+ \w+)", text)
        wanted = f" ({asked[1]} more were needed)" if asked else ""
        return (
            f"out of memory{wanted}: take fewer at a time (--batch, --batch-size, --workers), a smaller generator, "
            "--precision bfloat16 on a GPU, or --device cpu"
        )
    return f"unexpected {type(error).__name__}: {text}"


def ran_out_of_memory(error: BaseException) -> bool:
    """Tell whether a failure is memory that was not there: Python's, a GPU's, or that of torch on a CPU."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)


class ImageError(ToolkitError):
    """An image file that cannot be read, or whose size is out of bounds."""


class FaceNotFoundError(ToolkitError):
    """A photo without the face that was asked for."""


class DoubtfulFaceError(ToolkitError):
    """A face of which inversion or edit is doubtful, where that was asked to be an error."""


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
