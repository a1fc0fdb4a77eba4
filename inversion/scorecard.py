"""One table that compares methods of inversion: fidelity, cost, and what edits of the result do."""

import csv
import io
import json
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from inversion.config import InvertConfig, ProjectionConfig, ScorecardConfig, TuneConfig
from inversion.encoder import need_encoder, with_encoder
from inversion.faces.judges import JUDGES, identity_distance
from inversion.losses import perceptual_features
from inversion.methods import METHODS, default_steps
from inversion.render import face_renderer
from inversion.scores import ms_ssim, num_scales, psnr, ssim
from inversion.task import Projection, Task
from stylegan_core.checkpoints.load import load_generator
from stylegan_core.console import Console
from stylegan_core.devices import pick_device
from stylegan_core.directions import Direction, shipped_directions
from stylegan_core.errors import ConfigError
from stylegan_core.features.perceptual import PerceptualDistance, load_perceptual
from stylegan_core.files import write_text
from stylegan_core.images import labelled_grid, to_uint8, write_png
from stylegan_core.metrics.evaluate import collect
from stylegan_core.metrics.extractors import get_extractor
from stylegan_core.metrics.frechet import frechet_distance
from stylegan_core.networks.protocol import Generator
from stylegan_core.training.dataset import ImageDataset

SHOWN = 6  # images in the picture
EXTRAS = ("encoder", "w_avg")  # rows without a search: the encoder's guess, and the mean face


@dataclass(frozen=True)
class Outcome:
    """What a method made of one image."""

    image: Tensor  # [1, C, R, R]
    render: Callable[..., Tensor]  # its synthesis, tuned where the method tunes
    result: Projection
    seconds: float
    peak_mb: float


def write_scorecard(
    out: str, config: ScorecardConfig, invert: InvertConfig, tune: TuneConfig, console: Console,
    projection: ProjectionConfig = ProjectionConfig(),
) -> None:  # fmt: skip
    """Score methods on aligned images; write scorecard.csv, .md, .json and .png into `out`."""
    methods = parse_methods(config.methods)
    device = pick_device(invert.device)
    generator, perceptual = load_generator(invert.generator, device), load_perceptual(invert.perceptual, device)
    targets = read_targets(config, generator)
    wanted = [name.strip() for name in config.edits.split(",")]
    shipped = shipped_directions(generator.meta.fingerprint)
    edits = [edit for name, edit in shipped.items() if name in wanted]
    base = Task(generator, targets, perceptual, projection, tune=tune)
    rows, pictures = [], [[to_uint8(target[None])[0] for target in targets[:SHOWN]]]
    for label, method, steps in methods:
        with console.progress(label, len(targets)) as progress:
            outcomes = []
            for index in range(len(targets)):
                task = replace(base, targets=targets[index : index + 1], config=replace(projection, steps=steps))
                outcomes.append(run_method(method, task, invert.encoder))
                progress(index + 1, float(psnr(outcomes[-1].image, task.targets)))
        rows.append({"method": label, **score_outcomes(outcomes, targets, generator, perceptual, edits, config)})
        pictures.append([to_uint8(outcome.image)[0] for outcome in outcomes[:SHOWN]])
        console.say(f"{label}: {rows[-1]['psnr']:.2f} dB in {rows[-1]['seconds']:.2f} s")
    folder, protocol = Path(out), protocol_of(config, generator, perceptual, projection, targets, edits)
    write_text(folder / "scorecard.csv", to_csv(rows))
    write_text(folder / "scorecard.md", to_markdown(rows, protocol))
    write_text(folder / "scorecard.json", json.dumps({"protocol": protocol, "rows": rows}, indent=2))
    columns = [f"image {index}" for index in range(len(pictures[0]))]
    write_png(
        folder / "scorecard.png", labelled_grid(pictures, columns, ["target", *(label for label, _, _ in methods)])
    )


def parse_methods(text: str) -> list[tuple[str, str, int]]:
    """Read `project:300,hybrid,...` as (label, method, steps); raises `ConfigError`."""
    methods = []
    for part in text.split(","):
        name, colon, number = part.strip().partition(":")
        if name not in METHODS and name not in EXTRAS:
            raise ConfigError(f"--methods '{name}' is unknown; expected some of {', '.join((*METHODS, *EXTRAS))}")
        if colon and not number.isdigit():
            raise ConfigError(f"--methods '{part.strip()}': '{number}' is no number of steps; write it as project:300")
        steps = int(number) if colon else default_steps(name)
        methods.append((part.strip(), name, steps))
    return methods


def read_targets(config: ScorecardConfig, generator: Generator) -> Tensor:
    """Read the last `config.images` images at the generator's resolution, [N, C, R, R] in [-1, 1]."""
    if not config.data:
        raise ConfigError("a scorecard needs images; give --data FOLDER or a zip of aligned faces")
    data = ImageDataset(config.data, generator.img_resolution)
    if not 1 <= config.images <= data.num_images:
        raise ConfigError(f"--images {config.images}: the data holds {data.num_images}; ask for 1 to that many")
    images: Tensor = data.batch(range(data.num_images - config.images, data.num_images))[0].to(generator.w_avg.device)
    if generator.img_channels == 1:
        return images.mean(dim=1, keepdim=True)
    return images.expand(-1, generator.img_channels, -1, -1)


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
    return Outcome(image, render, result, seconds, peak / 2**20)


def score_outcomes(
    outcomes: Sequence[Outcome], targets: Tensor, generator: Generator, perceptual: PerceptualDistance,
    edits: Sequence[Direction], config: ScorecardConfig,
) -> dict[str, float]:  # fmt: skip
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
        tuning = [len(outcome.result.history[0].get("tune_psnr", [])) for outcome in outcomes]
        scores["steps"] = float(np.mean([o.result.num_steps[0] + t for o, t in zip(outcomes, tuning, strict=True)]))
        for edit in edits:
            effects = [edit_effect(outcome, edit, config.strength, generator) for outcome in outcomes]
            for key in effects[0]:
                scores[f"{edit.name}_{key}"] = float(np.mean([effect[key] for effect in effects]))
    return scores


def edit_effect(outcome: Outcome, edit: Direction, strength: float, generator: Generator) -> dict[str, float]:
    """Return what an edit does to one inversion: the judge's change, the identity distance, the background's change.

    The background is the image's rim, a tenth of its side wide; its change is the mean absolute one in [0, 2]."""
    ws, alignment = outcome.result.ws, generator.meta.alignment
    before = outcome.image.clamp(-1, 1)
    after = outcome.render(ws + strength * edit.vector.to(ws)).clamp(-1, 1)
    rim = torch.ones(before.shape[2:], dtype=torch.bool, device=before.device)
    width = max(1, before.shape[-1] // 10)
    rim[width:-width, width:-width] = False
    effect = {"background": float((after - before).abs()[:, :, rim].mean())}
    if before.shape[1] == 3:
        effect["identity"] = float(identity_distance(after, before, alignment))
        if edit.attribute:
            score = JUDGES[edit.attribute].score
            effect["change"] = float(score(after, alignment) - score(before, alignment))
    return effect


def protocol_of(
    config: ScorecardConfig, generator: Generator, perceptual: PerceptualDistance, projection: ProjectionConfig,
    targets: Tensor, edits: Sequence[Direction],
) -> dict[str, Any]:  # fmt: skip
    """Say how the numbers came about."""
    return {
        "generator": f"{generator.meta.name} ({generator.meta.fingerprint[:12]})",
        "data": f"the last {len(targets)} images of {Path(config.data).name}, by name",
        "resolution": f"{generator.img_resolution} px, shrunk with a box filter",
        "perceptual": perceptual.name,
        "ms_ssim_scales": num_scales(generator.img_resolution),
        "frechet_distance": f"of {len(targets)} inversions to their targets; of few images good only to compare rows",
        "seed": projection.seed,
        "memory": "of the GPU's allocator" if targets.is_cuda else "of the whole process, so it never falls",
        "threads": torch.get_num_threads(),
        "device": str(targets.device),
        "edits": {edit.name: f"strength {config.strength:g}, judged by {edit.attribute or 'none'}" for edit in edits},
    }


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
