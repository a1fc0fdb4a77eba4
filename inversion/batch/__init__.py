"""Folders of photos through a pipeline, with a manifest that loses nothing: `from inversion.batch import run`."""

from inversion.batch.items import Item, Pipeline, Result
from inversion.batch.runner import Summary, run
from inversion.limits import Limits

__all__ = ["Item", "Limits", "Pipeline", "Result", "Summary", "run"]
