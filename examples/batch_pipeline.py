"""A folder of photos through a recipe from Python, with a callback a photo.

python examples/batch_pipeline.py photos/ smiling/"""

import sys
from pathlib import Path

from editing.pipeline import EditPipeline
from editing.recipe import load_recipe
from inversion.batch import Item, Result, run


def report(item: Item, result: Result) -> None:
    """Say how one photo went."""
    psnr = result.metrics.get("psnr")
    print(f"{item.path}: {result.error or f'{psnr:.1f} dB in {result.seconds:.1f} s'}")


if __name__ == "__main__":  # workers import this file: what runs must stand below this line
    recipe = load_recipe(Path(__file__).with_name("smile.toml"))
    summary = run(sys.argv[1], sys.argv[2], EditPipeline(recipe), callback=report)
    print(f"{summary.done} done, {summary.failed} failed")
