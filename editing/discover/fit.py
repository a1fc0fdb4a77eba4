"""The tasks behind `invertigo directions`: get codes, fit a direction, give its length a meaning, save it."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from editing.config import BoundaryConfig, ComponentConfig, FinishConfig, FitSource, PairsConfig
from editing.discover.boundary import fit_boundary, fit_margins
from editing.discover.codes import labelled_codes, photo_codes, sample_codes
from editing.discover.finish import calibrate, describe, renew, summary
from editing.discover.ganspace import principal_components
from editing.discover.named import fitted_judge, named_faces
from editing.discover.pairs import fit_pairs
from editing.discover.refine import refine
from editing.discover.sefa import modulation_weights, sefa_directions
from editing.judging import find_judge, measure_codes
from editing.layers import parse_layers
from inversion.config import InvertConfig, ProjectionConfig
from inversion.faces.attributes import EXPRESSIONS, UNITS
from inversion.invert import Inverter
from inversion.methods import USUAL_STEPS
from inversion.statistics import w_statistics
from stylegan_core.checkpoints.load import load_generator
from stylegan_core.console import Console
from stylegan_core.devices import pick_device
from stylegan_core.directions import Direction, save_direction
from stylegan_core.errors import ConfigError
from stylegan_core.files import write_atomic
from stylegan_core.networks.protocol import Generator
from stylegan_core.npz import read_npz

TINY = 1e-30  # probabilities below it count as it
REFINE_FROM = 3.0  # length, in standard deviations of W, at which a refinement starts


def fit_direction(
    out: str, name: str, source: FitSource, pairs: PairsConfig, boundary: BoundaryConfig, finish: FinishConfig,
    invert: InvertConfig, console: Console,
) -> None:  # fmt: skip
    """Fit a direction to pairs, labels or a judge, whichever `source` gives, and write it to `out`."""
    given = [key for key in ("pairs", "labels", "attribute", "condition") if getattr(source, key)]
    if len(given) != 1:
        raise ConfigError("give exactly one of --pairs, --labels, --attribute and --condition to fit a direction to")
    if source.pairs:
        fit_pairs(out, name, source.pairs, pairs, finish, invert, console)
    elif source.labels:
        fit_labels(out, name, source.labels, boundary, finish, invert, console)
    elif source.condition:
        fit_condition(out, name, source.condition, boundary, finish, invert, console)
    else:
        fit_attribute(out, name, source.attribute, boundary, finish, invert, console)


def fit_attribute(
    out: str, name: str, attribute: str, boundary: BoundaryConfig, finish: FinishConfig, invert: InvertConfig,
    console: Console,
) -> None:  # fmt: skip
    """Fit a direction to what a judge says of renders, and write it to `out`."""
    judge = find_judge(attribute)
    generator: Generator = load_generator(invert.generator, pick_device(invert.device))
    w, scores = judged_codes(generator, boundary)
    column = list(UNITS).index(attribute)
    if attribute in EXPRESSIONS and boundary.classifier == "auto":
        found = fit_margins(w, scores[:, : len(EXPRESSIONS)].clamp_min(TINY).log(), column, boundary)
    else:
        found = fit_boundary(w, scores[:, column], boundary)
    about: dict[str, Any] = {"method": "linear boundary", "attribute": attribute, **found.report}
    low = w[scores[:, column].argsort()[: max(len(w) // 2, 1)]]  # codes that have little of it: what it is used on
    direction = describe(generator, name, found.step, finish, about)
    if boundary.refine > 0:
        direction = refine_direction(generator, direction, w, boundary)
    source = Path(boundary.data).name if boundary.data else f"{boundary.samples} samples"
    direction = calibrate(generator, direction, judge, low, {"data": source})
    save_direction(out, direction)
    console.say(f"{out}: {name} for {generator.meta.name}; {summary(direction)}")


def fit_condition(
    out: str, name: str, words: str, boundary: BoundaryConfig, finish: FinishConfig, invert: InvertConfig,
    console: Console,
) -> None:  # fmt: skip
    """Fit a direction to the faces whose `condition` names one of `words`, and write it to `out`."""
    if not boundary.data:
        raise ConfigError("--condition needs --data, a folder or zip of aligned faces with attributes.csv")
    generator: Generator = load_generator(invert.generator, pick_device(invert.device))
    faces = named_faces(generator, boundary.data, words, boundary.exclude, boundary.leave_every)
    found = fit_boundary(faces.w, faces.named, boundary)
    judge, area = fitted_judge(faces, generator.w_avg.device)
    about = {"method": "linear boundary", "condition": words, "named": int(faces.named.sum()), **found.report}
    direction = describe(generator, name, found.step, finish, about)
    seen = {"judge_auc": area, "data": Path(boundary.data).name}
    direction = calibrate(generator, direction, judge, faces.w[faces.named == 0], seen)
    save_direction(out, direction)
    console.say(f"{out}: {name} for {generator.meta.name}; {summary(direction)}")


def judged_codes(generator: Generator, boundary: BoundaryConfig) -> tuple[Tensor, Tensor]:
    """Return codes w [N, w_dim] and what judges and scales say of their renders [N, len(UNITS)].

    They are read from the file `boundary.scores` where it was written for this generator, and written there."""
    meta, kept = generator.meta, Path(boundary.scores)
    about = np.array(
        [meta.fingerprint, Path(boundary.data).name, boundary.exclude, f"{boundary.samples} {boundary.leave_every}"]
    )
    if boundary.scores and kept.is_file():
        arrays = read_npz(kept)
        if (
            not {"w", "scores", "about"} <= set(arrays)
            or not np.array_equal(arrays["about"], about)
            or arrays["scores"].shape[1:] != (len(UNITS),)
        ):
            raise ConfigError(f"{kept}: judged codes of another generator or of other options; name another file")
        return torch.from_numpy(arrays["w"]), torch.from_numpy(arrays["scores"])
    if boundary.data:
        w = photo_codes(generator, boundary.data, boundary.exclude, boundary.leave_every)
    else:
        w = sample_codes(generator, boundary.samples, boundary.seed, boundary.psi)
    scores = measure_codes(generator, w[:, None].repeat(1, generator.num_ws, 1))
    if boundary.scores:
        codes, said = w.cpu().numpy(), scores.cpu().numpy()
        write_atomic(kept, lambda file: np.savez(file, w=codes, scores=said, about=about))
    return w, scores


def refine_direction(generator: Generator, direction: Direction, w: Tensor, boundary: BoundaryConfig) -> Direction:
    """Return the direction after `boundary.refine` steps on renders of codes w [N, w_dim]."""
    start = direction.vector * REFINE_FROM
    refined = refine(generator, start, direction.attribute, w, boundary.refine, direction.layers, boundary.seed)
    report = {"refined": boundary.refine, "loss": [refined.first_loss, refined.last_loss]}
    deviation = w_statistics(generator)[1].cpu()
    return renew(direction, refined.step / (refined.step / deviation).norm(), "", report)


def fit_labels(
    out: str, name: str, labels: str, boundary: BoundaryConfig, finish: FinishConfig, invert: InvertConfig,
    console: Console,
) -> None:  # fmt: skip
    """Fit a direction to the user's labels of latents, photos or seeds, and write it to `out`."""
    inverter = Inverter(invert, ProjectionConfig(steps=USUAL_STEPS, space="w+"))
    generator: Generator = inverter.generator
    w, scores = labelled_codes(inverter, Path(labels))
    found = fit_boundary(w, scores, boundary)
    direction = describe(generator, name, found.step, finish, {"method": "linear boundary", "data": Path(labels).name})
    if finish.judge:
        low = w[scores.argsort()[: max(len(w) // 2, 1)]]
        direction = calibrate(generator, direction, find_judge(finish.judge), low, found.report)
    else:
        unit = "one standard deviation of the labelled codes along the boundary's normal"
        direction = renew(direction, direction.vector, unit, found.report)
    save_direction(out, direction)
    console.say(f"{out}: {name} for {generator.meta.name}; {summary(direction)}")


def fit_component(
    out: str, name: str, method: str, generator_name: str, config: ComponentConfig, console: Console
) -> None:
    """Write a component of SeFa or of GANSpace (`method`) to `out`."""
    generator: Generator = load_generator(generator_name)
    layers = parse_layers(config.layers, generator.num_ws)
    if not 0 <= config.component < generator.w_dim:
        raise ConfigError(f"--component {config.component}: there are 0 to {generator.w_dim - 1}")
    w = sample_codes(generator, config.samples, config.seed)
    if method == "sefa":
        vectors, gains = sefa_directions(modulation_weights(generator), layers, config.component + 1)
    else:
        vectors, gains = principal_components(w.cpu(), config.component + 1)
    vector, gain = vectors[config.component], float(gains[config.component])
    spread = float((w.cpu() @ vector).std())
    unit = f"{config.scale:g} standard deviations of W along component {config.component} of {method}"
    report = {
        "method": method,
        "component": config.component,
        "gain": gain,
        "w_deviation": spread,
        "scale": config.scale,
    }
    finish = FinishConfig(layers=config.layers)
    direction = describe(generator, name, (vector * spread * config.scale)[None, None], finish, report)
    save_direction(out, renew(direction, direction.vector, unit, {}))
    console.say(f"{out}: {name} for {generator.meta.name}; strength 1 is {unit}")
