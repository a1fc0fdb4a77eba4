"""Seeds as they are written: `0-15,20`; no torch here, so that a mistake is named early."""

from stylegan_core.errors import ConfigError


def parse_seeds(text: str, limit: int = 100_000) -> list[int]:
    """Read `0-15,20,99` as a list of seeds; raises `ConfigError`."""
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            raise ConfigError(f"seeds '{text}' not understood; expected numbers and ranges such as 0-15,20")
        span = range(int(first), int(last if dash else first) + 1)
        if len(span) + len(seeds) > limit:
            raise ConfigError(f"seeds '{text}' are more than {limit:,}; ask for fewer at a time")
        seeds.extend(span)
    if not seeds or max(seeds) >= 2**32:
        raise ConfigError(f"seeds '{text}' not understood; expected numbers from 0 to {2**32 - 1}")
    return seeds
