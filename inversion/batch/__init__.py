"""Folders of photos through a pipeline, with a manifest that loses nothing: `from inversion.batch import run`."""

from typing import TYPE_CHECKING

from stylegan_core.lazy import lazy_exports

if TYPE_CHECKING:
    from inversion.batch.items import Item as Item
    from inversion.batch.items import Pipeline as Pipeline
    from inversion.batch.items import Result as Result
    from inversion.batch.runner import Summary as Summary
    from inversion.batch.runner import run as run
    from inversion.limits import Limits as Limits

__getattr__, __dir__, __all__ = lazy_exports(__name__, __file__)
