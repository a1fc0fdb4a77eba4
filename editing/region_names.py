"""The names of the parts of a face that an edit can be confined to; no torch here, so that mistakes are named early."""

from pathlib import Path

from stylegan_core.errors import ConfigError
from stylegan_core.spelling import suggestion

REGIONS = ("eyes", "brows", "nose", "mouth", "skin", "face", "hair")


def parse_regions(text: str) -> tuple[str, ...]:
    """Read `eyes,mouth` or `mask.png` as names of regions and files; raises `ConfigError`."""
    parts = tuple(part for part in (part.strip() for part in text.split(",")) if part)
    for part in parts:
        if part not in REGIONS and not Path(part).suffix:
            known = ", ".join(REGIONS)
            raise ConfigError(
                f"--region '{part}' is unknown; expected {known}, or a mask's file{suggestion(part, REGIONS)}"
            )
    return parts


def check_regions(text: str) -> None:
    """Refuse what are no regions, and masks that are not there; raises `ConfigError`."""
    for part in parse_regions(text):
        if part not in REGIONS and not Path(part).is_file():
            raise ConfigError(f"--region {part}: there is no such file; give a picture, white where edits may show")
