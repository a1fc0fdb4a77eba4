"""One table that compares methods of inversion: fidelity, cost, and what edits of the result do."""

import csv
import io
import json
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from inversion.config import InvertConfig, ProjectionConfig, ScorecardConfig, TuneConfig
from inversion.edit_scores import (
    Outcome,
    attribute_dependency,
    attribute_distances,
    edit_consistency,
    edit_effect,
    pasted_effect,
)
from inversion.encoder import need_encoder, with_encoder
from inversion.faces.judges import identity_distance
from inversion.losses import perceptual_features
from inversion.methods import METHODS
from inversion.render import face_renderer
from inversion.scorecard_images import ScoredImages, read_images
from inversion.scorecard_methods import check_scorecard, parse_methods
from inversion.scores import ms_ssim, num_scales, psnr, ssim
from inversion.statistics import w_statistics
from inversion.task import Projection, Task
from stylegan_core.checkpoints.load import load_generator
from stylegan_core.console import Console
from stylegan_core.devices import pick_device
from stylegan_core.directions import Direction, find_direction, shipped_directions
from stylegan_core.features.perceptual import PerceptualDistance, load_perceptual
from stylegan_core.files import write_text
from stylegan_core.images import labelled_grid, to_uint8, write_png
from stylegan_core.metrics.evaluate import collect
from stylegan_core.metrics.extractors import get_extractor
from stylegan_core.metrics.frechet import frechet_distance
from stylegan_core.networks.protocol import Generator

SHOWN = 6  # images in the picture


def write_scorecard(
    out: str, config: ScorecardConfig, invert: InvertConfig, tune: TuneConfig, console: Console,
    projection: ProjectionConfig = ProjectionConfig(),
    drag: Callable[[Generator, Projection], dict[str, float]] | None = None,
) -> None:  # fmt: skip
    """Score methods on aligned images, or on photos; write scorecard.csv, .md, .json and .png into `out`.

    `drag` scores one inversion by dragging points of it."""
    check_scorecard(config)
    methods = parse_methods(config.methods, "w+" if projection.space == "auto" else projection.space)
    device = pick_device(invert.device)
    generator, perceptual = load_generator(invert.generator, device), load_perceptual(invert.perceptual, device)
    images = read_images(config, generator, console)
    targets, real = images.targets, images.real
    edits = chosen_edits(config.edits, generator)
    base = Task(generator, targets, perceptual, projection, tune=tune)
    rows, pictures = [], [[to_uint8(target[None])[0] for target in targets[:SHOWN]]]
    for label, method, space, steps in methods:
        with console.progress(label, len(targets)) as progress:
            outcomes = []
            for index in range(len(targets)):
                task = replace(
                    base, targets=targets[index : index + 1], config=replace(projection, steps=steps, space=space)
                )
                outcomes.append(run_method(method, task, invert.encoder))
                progress(index + 1, float(psnr(outcomes[-1].image, task.targets)))
        scores = score_outcomes(outcomes, targets, generator, perceptual)
        rows.append({"method": label, **scores})
        rows[-1] |= score_edits(outcomes, targets, real, generator, edits, config)
        if drag:
            dragged = [drag(generator, outcome.result) for outcome in outcomes]
            rows[-1] |= {key: float(np.mean([row[key] for row in dragged])) for key in dragged[0]}
        if config.lec:
            rows[-1] |= score_consistency(outcomes, method, task, edits, config.strength, invert.encoder, console)
        pictures.append([to_uint8(outcome.image)[0] for outcome in outcomes[:SHOWN]])
        console.say(f"{label}: {rows[-1]['psnr']:.2f} dB in {rows[-1]['seconds']:.2f} s")
    folder, protocol = Path(out), protocol_of(config, generator, perceptual, projection, images, edits)
    write_text(folder / "scorecard.csv", to_csv(rows))
    write_text(folder / "scorecard.md", to_markdown(rows, protocol))
    write_text(folder / "scorecard.json", json.dumps({"protocol": protocol, "rows": rows}, indent=2))
    columns = [f"image {index}" for index in range(len(pictures[0]))]
    write_png(folder / "scorecard.png", labelled_grid(pictures, columns, ["target", *(label for label, *_ in methods)]))


def chosen_edits(text: str, generator: Generator) -> list[Direction]:
    """Return the directions that `text` names: those of the names that ship for this generator, and all in files."""
    shipped, names = shipped_directions(generator.meta.fingerprint), [name.strip() for name in text.split(",")]
    files = [name for name in names if name.endswith(".npz")]
    return [shipped[name] for name in names if name in shipped] + [find_direction(file, generator) for file in files]


def steps_beyond_code(history: Mapping[str, Sequence[float]]) -> int:
    """Return the steps that tuning, or the correction of features, took."""
    return len(history.get("tune_psnr", ())) + len(history.get("f_loss", ())) + len(history.get("f_edits", ()))


def run_method(method: str, task: Task, encoder: str = "") -> Outcome:
    """Invert one target, and measure the time and memory it takes (with the encoder's guess where it is used)."""
    generator, on_gpu = task.generator, task.targets.is_cuda
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
        torch.cuda.synchronize()
    began = time.perf_counter()
    known = METHODS.get(method)
    if known.needs_encoder if known else method == "encoder":
        need_encoder(generator, encoder)
    if known.uses_encoder if known else method == "encoder":
        task = with_encoder(task, encoder)
    if known is None:  # one of EXTRAS: no search
        known, task = METHODS["project"], replace(task, config=replace(task.config, steps=0))
    result = known.search(task)
    noise = {name: level[0, 0] for name, level in result.noise.items()}
    delta = result.deltas[0] if result.deltas else None
    correction = result.corrections[0] if result.corrections else None
    render = face_renderer(generator, result.ws, noise, delta, correction)
    with torch.no_grad():
        image = render(result.ws)
    if on_gpu:
        torch.cuda.synchronize()
    seconds = time.perf_counter() - began
    peak = torch.cuda.max_memory_allocated() if on_gpu else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    styled = partial(face_renderer, generator, result.ws, noise, delta, correction)
    return Outcome(image, render, result, seconds, peak / 2**20, styled)


def score_outcomes(
    outcomes: Sequence[Outcome], targets: Tensor, generator: Generator, perceptual: PerceptualDistance
) -> dict[str, float]:
    """Return the means of all scores over the images."""
    images = torch.cat([outcome.image for outcome in outcomes]).clamp(-1, 1)
    with torch.no_grad():
        features = [perceptual_features(perceptual, part) for part in (images, targets)]
        scores = {
            "mse": float((images - targets).square().mean()),
            "psnr": float(psnr(images, targets).mean()),
            "ssim": float(ssim(images, targets).mean()),
            "ms_ssim": float(ms_ssim(images, targets).mean()),
            f"perceptual_{perceptual.name}": float(perceptual.between(*features).mean()),
        }
        if images.shape[1] == 3:
            scores["identity_distance"] = float(identity_distance(images, targets, generator.meta.alignment).mean())
        if len(images) > 1:
            extractor = get_extractor("auto", device=images.device)
            made, real = (collect(part.split(16), extractor).statistics for part in (images, targets))
            scores[extractor.metric] = frechet_distance(made, real)
        scores["seconds"] = float(np.mean([outcome.seconds for outcome in outcomes]))
        scores["peak_mb"] = max(outcome.peak_mb for outcome in outcomes)
        tuning = [steps_beyond_code(outcome.result.history[0]) for outcome in outcomes]
        scores["steps"] = float(np.mean([o.result.num_steps[0] + t for o, t in zip(outcomes, tuning, strict=True)]))
    return scores


def score_edits(
    outcomes: Sequence[Outcome], targets: Tensor, real: Tensor, generator: Generator, edits: Sequence[Direction],
    config: ScorecardConfig,
) -> dict[str, float]:  # fmt: skip
    """Return the means of what edits do, and how far edited faces are from the `real` ones that have the attribute."""
    scores: dict[str, float] = {}
    extractor = get_extractor("auto", device=targets.device) if edits and len(real) else None
    for edit in edits:
        effects = []
        for outcome, target in zip(outcomes, targets.split(1), strict=True):
            renders = outcome.image.clamp(-1, 1), outcome.edited(edit, config.strength)
            effect = edit_effect(outcome, edit, config.strength, generator)
            effects.append(effect | pasted_effect(target, *renders, generator.meta.alignment))
        for key in effects[0]:
            scores[f"{edit.name}_{key}"] = float(np.mean([effect[key] for effect in effects]))
        if edit.attribute and targets.shape[1] == 3:
            scores[f"{edit.name}_dependency"] = attribute_dependency(outcomes, edit, config.strength, generator)
        if extractor and edit.attribute and targets.shape[1] == 3:
            alignment = generator.meta.alignment
            found = attribute_distances(outcomes, real, edit, config.strength, alignment, extractor)
            scores |= {f"{edit.name}_{key}_{extractor.metric}": value for key, value in found.items()}
    return scores


def score_consistency(
    outcomes: Sequence[Outcome], method: str, task: Task, edits: Sequence[Direction], strength: float, encoder: str,
    console: Console,
) -> dict[str, float]:  # fmt: skip
    """Return the mean LEC of each edit, the edited renders inverted by the method itself."""
    w_std, scores = w_statistics(task.generator)[1], {}
    for edit in (edit for edit in edits if not edit.styles):  # a step in style space is none of a code's
        found = []
        with console.progress(f"{edit.name} again", len(outcomes)) as progress:
            for index, outcome in enumerate(outcomes):
                ws, step = outcome.result.ws, strength * edit.vector
                again = run_method(method, replace(task, targets=outcome.edited(edit, strength)), encoder)
                found.append(edit_consistency(ws, again.result.ws, step.to(ws), w_std))
                progress(index + 1, found[-1])
        scores[f"{edit.name}_lec"] = float(np.mean(found))
    return scores


def protocol_of(
    config: ScorecardConfig, generator: Generator, perceptual: PerceptualDistance, projection: ProjectionConfig,
    images: ScoredImages, edits: Sequence[Direction],
) -> dict[str, Any]:  # fmt: skip
    """Say how the numbers came about."""
    targets, cut_out = images.targets, images.cut_out
    return {
        "generator": f"{generator.meta.name} ({generator.meta.fingerprint[:12]})",
        "data": f"the last {len(targets)} images of {Path(config.data).name}, by name",
        "alignment": "the largest face, cut out of each photo" if cut_out else "as the images are",
        "resolution": f"{generator.img_resolution} px" + ("" if cut_out else ", shrunk with a box filter"),
        "perceptual": perceptual.name,
        "ms_ssim_scales": num_scales(generator.img_resolution),
        "frechet_distance": f"of {len(targets)} inversions to their targets; of few images good only to compare rows",
        "seed": projection.seed,
        "memory": "of the GPU's allocator" if targets.is_cuda else "of the whole process, so it never falls",
        "threads": torch.get_num_threads(),
        "device": str(targets.device),
        "edits": {edit.name: f"strength {config.strength:g}, judged by {edit.attribute or 'none'}" for edit in edits},
    } | ({"drag": f"{config.drag}, in units of the face; drag_distance is in pixels"} if config.drag else {})


def to_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def to_markdown(rows: Sequence[Mapping[str, Any]], protocol: Mapping[str, Any]) -> str:
    """Return rows as a Markdown table under the protocol."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    lines = ["# Scorecard", "", *[f"- {key}: {value}" for key, value in protocol.items()], ""]
    lines += ["| " + " | ".join(keys) + " |", "|" + "---|" * len(keys)]
    for row in rows:
        cells = [f"{row[key]:.4g}" if isinstance(row.get(key), float) else str(row.get(key, "")) for key in keys]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
