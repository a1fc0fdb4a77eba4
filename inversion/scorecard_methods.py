"""The methods that a scorecard compares, as they are written; no torch here, so that a mistake is named early."""

from inversion.config import SPACES, ScorecardConfig
from inversion.methods import METHODS
from stylegan_core.errors import ConfigError
from stylegan_core.spelling import suggestion
from stylegan_core.training.checks import check_data

EXTRAS = ("encoder", "w_avg")  # rows without a search: the encoder's guess, and the mean face


def check_scorecard(config: ScorecardConfig) -> None:
    """Refuse methods that there are not, and images that are not there; raises `ConfigError`."""
    parse_methods(config.methods)
    if not config.data:
        raise ConfigError("a scorecard needs images; give --data with a folder or zip of faces")
    check_data(config.data)


def parse_methods(text: str, usual: str = "w+") -> list[tuple[str, str, str, int]]:
    """Read `project:300,hybrid/f,...` as (label, method, space, steps); raises `ConfigError`."""
    methods = []
    for part in text.split(","):
        rest, colon, number = part.strip().partition(":")
        name, slash, space = rest.partition("/")
        if name not in METHODS and name not in EXTRAS:
            known = (*METHODS, *EXTRAS)
            raise ConfigError(
                f"--methods '{name}' is unknown; expected some of {', '.join(known)}{suggestion(name, known)}"
            )
        if colon and not number.isdigit():
            raise ConfigError(f"--methods '{part.strip()}': '{number}' is no number of steps; write it as project:300")
        if slash and space not in SPACES:
            raise ConfigError(f"--methods '{part.strip()}': '{space}' is no space; expected {', '.join(SPACES)}")
        steps = int(number) if colon else -1
        methods.append((part.strip(), name, space or usual, steps))
    return methods
