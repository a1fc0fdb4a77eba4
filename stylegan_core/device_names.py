"""Names of devices as they are written; no torch here, so that a mistake is named early."""

from stylegan_core.errors import ConfigError

DEVICES = ("auto", "cpu", "cuda", "mps")


def check_device(name: str) -> None:
    """Refuse what is no device: `auto`, `cpu`, `cuda` (or `cuda:1`) or `mps`; raises `ConfigError`."""
    kind, colon, number = name.partition(":")
    if kind not in DEVICES or (colon and not number.isdigit()):
        raise ConfigError(f"device '{name}' is unknown; expected one of {', '.join(DEVICES)}, or cuda:1")
