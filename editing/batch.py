"""The tasks of `invertigo batch`: run a recipe, explain it, look at and mend what was done."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from editing.codes import latent_of_code, open_code
from editing.early import check_batch, tell_strengths
from editing.pipeline import EditPipeline
from editing.recipe import Recipe, load_recipe
from inversion.batch.inputs import MANIFEST, find_inputs
from inversion.batch.manifest import Manifest
from inversion.batch.runner import in_use, run
from inversion.latents import Latent
from stylegan_core.checkpoints.load import load_generator
from stylegan_core.console import Console
from stylegan_core.credentials import load_signature
from stylegan_core.errors import ConfigError
from stylegan_core.files import write_text
from stylegan_core.locking import locked
from stylegan_core.networks.protocol import Generator


def batch_files(
    photos: Sequence[str],
    recipe: str,
    out: str,
    engine: str,
    workers: int,
    batch: int,
    explain: bool,
    console: Console,
    sign: tuple[str, str] | None = None,
) -> None:
    """Run a recipe over photos into `out`, or say what that would do."""
    chosen = load_recipe(recipe) if recipe else Recipe()
    for notice in chosen.notices:
        console.say(f"{recipe}: {notice}")
    tell_strengths(chosen.edits, chosen.invert, console)
    if sign:
        load_signature(*sign)
    if explain:
        _explain(photos, chosen, out, console)
        return
    try:
        summary = run(photos, out, EditPipeline(chosen, sign), engine, workers, batch, console=console)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted; what was finished is in {out}: the same command goes on") from None
    words = [f"{summary.done} done", f"{summary.failed} failed", f"{summary.kept} done before"]
    console.say(f"{', '.join(words)}, in {summary.seconds:.0f} s; manifest: {Path(out) / MANIFEST}")
    if summary.failed_before:
        console.error(f"{summary.failed_before} photos failed in an earlier run; see `invertigo batch status {out}`")


def _explain(photos: Sequence[str], recipe: Recipe, out: str, console: Console) -> None:
    """Say what a run would do, after checking that the generator can do it."""
    generator = load_generator(recipe.invert.generator)
    for operation in recipe.edits:
        operation.resolve(generator, partial(_look_at_code, generator=generator))
    found = list(find_inputs(photos, Path(out)))
    console.say("\n".join([f"{len(found)} photos into {out}; each:", *(f"  {line}" for line in recipe.describe())]))
    for entered in found:
        if entered.problem:
            console.say(f"not taken: {entered.path}: {entered.problem}")


def _look_at_code(text: str | Latent, generator: Generator) -> Latent:
    """Open a latent or a seed; of a photo or folder, which the run will invert, see only that it is there."""
    if isinstance(text, Latent) or text.isdigit() or Path(text).suffix == ".npz":
        return open_code(text, generator)
    if not Path(text).exists():
        raise ConfigError(f"{text}: the recipe names it, but there is no such file or folder")
    return latent_of_code(generator, generator.w_avg.expand(1, generator.num_ws, -1), {})


def batch_status(out: str, console: Console) -> None:
    """Print how many items are in each state, and why the failed ones failed."""
    manifest = open_manifest(out)
    counts = manifest.summary()
    if "running" in counts and not in_use(Path(out)):
        counts["interrupted; the same command goes on with them"] = counts.pop("running")
    console.say(", ".join(f"{number} {state}" for state, number in counts.items()) or "no item yet")
    for _, error in manifest.failures():
        console.say(f"failed: {error}")
    manifest.close()


def batch_retry(out: str, console: Console) -> None:
    """Mark the failed items for another go."""
    with locked(Path(out)):
        manifest = open_manifest(out)
        console.say(f"{manifest.retry()} marked; run the same batch command again")
        manifest.close()


def batch_export(out: str, csv: str, console: Console) -> None:
    """Write the manifest as CSV."""
    import io

    manifest, text = open_manifest(out), io.StringIO()
    manifest.export(text)
    manifest.close()
    write_text(csv, text.getvalue())
    console.say(f"{csv}: written")


def open_manifest(out: str) -> Manifest:
    """Open the manifest of a batch's OUT; raises `OutputError` where there is none."""
    check_batch(out)
    return Manifest(Path(out) / MANIFEST)
