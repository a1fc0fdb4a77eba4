"""The sample photo: NASA's portrait of Eileen Collins, which scikit-image ships and which is in the public domain."""

from pathlib import Path

from stylegan_core.images import write_png

NAME = "astronaut.png"


def write_sample(path: str | Path = NAME) -> Path:
    """Write the sample photo, 512x512, as PNG."""
    from skimage import data

    write_png(path, data.astronaut())
    return Path(path)
