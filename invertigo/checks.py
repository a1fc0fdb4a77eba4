"""What has to be so before anything of the toolkit is imported."""

from importlib.util import find_spec
from pathlib import Path

OURS = ("stylegan_core", "inversion", "editing", "cli")  # top-level names that other distributions have as well
HOME = Path(__file__).resolve().parent.parent


class ShadowedError(ImportError):
    """Another distribution's module stands where ours should."""


def refuse_shadows() -> None:
    """Refuse to go on where another distribution's module hides one of ours; raises `ShadowedError`."""
    for name in OURS:
        spec = find_spec(name)
        found = Path(spec.origin).resolve() if spec and spec.origin else None
        if found is None or HOME not in (found.parent, found.parent.parent):
            raise ShadowedError(
                f"Invertigo's module '{name}' is hidden by {found or 'nothing of that name'}, which is not of "
                f"{HOME}; uninstall what brought it, or install Invertigo into an environment of its own"
            )
