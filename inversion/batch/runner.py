"""Run a pipeline over photos: plan, lock, hand chunks out, write results down."""

import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inversion.batch.inputs import MANIFEST, find_inputs
from inversion.batch.items import WORK, Item, Pipeline, Result
from inversion.batch.local import LocalEngine, workers_for
from inversion.batch.manifest import Manifest
from stylegan_core.console import Console
from stylegan_core.errors import ConfigError, OutputError
from stylegan_core.locking import locked

MAX_ATTEMPTS = 3  # of a photo whose worker died
MAX_DEATHS = 12  # of workers in a row, before the run gives up
ENGINES = ("local", "ray")
Callback = Callable[[Item, Result], None]


@dataclass
class Summary:
    """How a run ended."""

    done: int = 0  # in this run
    failed: int = 0  # in this run
    kept: int = 0  # done by an earlier run
    failed_before: int = 0  # in an earlier run, not tried again
    seconds: float = 0.0
    errors: list[str] = field(default_factory=list)


def run(
    photos: str | Sequence[str],
    out: str | Path,
    pipeline: Pipeline,
    engine: str = "local",
    workers: int = 0,
    batch: int = 8,
    callback: Callback | None = None,
    console: Console | None = None,
) -> Summary:
    """Do `pipeline` to every photo in folders, files, globs and lists; the same call again does what is not done.

    `workers=0` takes one a core; `batch` photos share one optimisation. `callback(item, result)` is called for every
    photo in the process that called. Raises `OutputError` where `out` cannot be written or is in use by another run."""
    if engine not in ENGINES or workers < 0 or batch < 1:
        raise ConfigError(
            f"engine '{engine}', {workers} workers, batch {batch}: "
            f"expected {' or '.join(ENGINES)}, 0 or more, 1 or more"
        )
    out, console = Path(out), console or Console(quiet=True)
    given = [photos] if isinstance(photos, str) else list(photos)
    began = time.perf_counter()
    with locked(out):
        shutil.rmtree(out / WORK, ignore_errors=True)  # left by a run that was killed
        manifest = Manifest(out / MANIFEST)
        try:
            passed_over: Counter[str] = Counter()
            found = find_inputs(given, out, passed_over)
            counts = manifest.register(found, pipeline.key, out, batch, workers_for(pipeline, workers))
            _say_plan(counts, passed_over, console)
            summary = Summary(kept=counts["done before"], failed_before=counts["failed before"])
            for item, refusal in manifest.refused:
                _note(summary, item, refusal, callback, console)
            _process(manifest, make_engine(engine, pipeline, out, workers), summary, callback, console)
        finally:
            manifest.close()
            shutil.rmtree(out / WORK, ignore_errors=True)
    summary.seconds = time.perf_counter() - began
    return summary


def make_engine(name: str, pipeline: Pipeline, out: Path, workers: int) -> Any:
    """Return the engine of that name; Ray is imported only here."""
    if name == "local":
        return LocalEngine(pipeline, out, workers)
    from inversion.batch.ray_engine import RayEngine

    return RayEngine(pipeline, out, workers)


def _process(
    manifest: Manifest,
    engine: Any,
    summary: Summary,
    callback: Callback | None,
    console: Console,
) -> None:
    """Hand out chunks until none is left; a chunk whose worker died goes back, at most `MAX_ATTEMPTS` times."""
    again: list[list[Item]] = []
    deaths: dict[int, int] = {}
    in_a_row = 0
    source = manifest.pending()
    refused = summary.failed
    with console.counter("photos", manifest.count("pending")) as advance:
        while True:
            for chunk, results in engine.run(source):
                in_a_row = in_a_row + 1 if results is None else 0
                if in_a_row == MAX_DEATHS:
                    raise ConfigError(
                        f"{MAX_DEATHS} workers died in a row; take fewer --workers or a smaller --batch-size"
                    )
                if results is None:
                    retried, results = _after_death(chunk, deaths)
                    again += retried
                manifest.record(results)
                by_id = {item.id: item for item in chunk}
                for result in results:
                    _note(summary, by_id[result.item_id], result, callback, console)
                advance(summary.done + summary.failed - refused, summary.failed)
            if not again:
                return
            source, again = iter(again), []


def _after_death(chunk: list[Item], deaths: dict[int, int]) -> tuple[list[list[Item]], list[Result]]:
    """Return what to try again and what to give up: the second time each photo goes alone, to find the one at fault."""
    for item in chunk:
        deaths[item.id] = deaths.get(item.id, 0) + 1
    given_up = [item for item in chunk if deaths[item.id] >= MAX_ATTEMPTS]
    left = [item for item in chunk if deaths[item.id] < MAX_ATTEMPTS]
    alone = any(deaths[item.id] > 1 for item in left)
    reason = f"its worker died {MAX_ATTEMPTS} times over it (out of memory?); try it alone with `invert`"
    return ([[item] for item in left] if alone else [left] if left else []), [
        Result(item.id, f"{item.path}: {reason}") for item in given_up
    ]


def _note(summary: Summary, item: Item, result: Result, callback: Callback | None, console: Console) -> None:
    if result.done:
        summary.done += 1
    else:
        summary.failed += 1
        summary.errors.append(result.error)
        console.error(result.error)
    if callback:
        callback(item, result)


def _say_plan(counts: Counter[str], passed_over: Counter[str], console: Console) -> None:
    parts = [f"{number} {what}" for what, number in counts.items() if number]
    console.say(", ".join(parts) or "nothing to do: no photo found")
    if passed_over:
        kinds = ", ".join(f"{number} {suffix}" for suffix, number in passed_over.most_common(5))
        console.say(f"{passed_over.total()} files are of other kinds and passed over: {kinds}")
    if counts["failed before"]:
        console.say(f"{counts['failed before']} failed before and are not tried again; `invertigo batch retry` does")


def in_use(out: Path) -> bool:
    """Say whether a run works in the output folder at this moment."""
    try:
        with locked(out):
            return False
    except OutputError:
        return True
