"""Ranges of style layers by name and number."""

from stylegan_core.errors import ConfigError

MAX_LAYERS = 128  # that a code may have

NAMED = {"all": (0, None), "coarse": (0, 4), "middle": (4, 8), "fine": (8, None)}  # Karras et al. 2019, section 3.1


def parse_layers(text: str, num_ws: int) -> list[int]:
    """Read `coarse`, `middle`, `fine`, `all`, `4-7` or lists such as `0-3,8` as layer indices below `num_ws`.

    coarse is 4 to 8 px (layers 0-3), middle 16 to 32 px (4-7), fine the rest; raises `ConfigError`."""
    layers: list[int] = []
    for part in (part.strip() for part in text.split(",")):
        if part in NAMED:
            first, last = NAMED[part]
            layers += range(first, num_ws if last is None else min(last, num_ws))
            continue
        low, dash, high = part.partition("-")
        if not low.isdigit() or (dash and not high.isdigit()):
            raise ConfigError(
                f"layers '{text}' not understood; expected {', '.join(NAMED)}, or numbers from 0 to {num_ws - 1} as 4-7"
            )
        layers += range(int(low), int(high or low) + 1)
        if layers and max(layers) >= num_ws:
            raise ConfigError(f"layers '{text}' go beyond this generator's, which are 0 to {num_ws - 1}")
    if not layers:
        raise ConfigError(f"layers '{text}' are none of this generator's, which are 0 to {num_ws - 1}")
    return sorted(set(layers))
