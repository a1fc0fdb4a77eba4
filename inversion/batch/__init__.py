"""Folders of photos through a pipeline, with a manifest that loses nothing: `from inversion.batch import run`."""

from inversion.batch.items import Item, Limits, Pipeline, Result
from inversion.batch.runner import Summary, run

__all__ = ["Item", "Limits", "Pipeline", "Result", "Summary", "run"]
