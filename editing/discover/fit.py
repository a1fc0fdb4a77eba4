"""The tasks behind `invertigo directions`: get codes, fit a direction, give its length a meaning, save it."""

from pathlib import Path
from typing import Any

from editing.config import BoundaryConfig, ComponentConfig, FinishConfig, FitSource, PairsConfig
from editing.directions import save_direction
from editing.discover.boundary import fit_boundary
from editing.discover.codes import labelled_codes, photo_codes, sample_codes
from editing.discover.finish import calibrate, describe, renew, summary
from editing.discover.ganspace import principal_components
from editing.discover.pairs import fit_pairs
from editing.discover.sefa import modulation_weights, sefa_directions
from editing.judging import find_judge, score_codes
from editing.layers import parse_layers
from inversion.config import InvertConfig, ProjectionConfig
from inversion.invert import Inverter
from stylegan_core.checkpoints.load import load_generator
from stylegan_core.console import Console
from stylegan_core.devices import pick_device
from stylegan_core.errors import ConfigError


def fit_direction(
    out: str, name: str, source: FitSource, pairs: PairsConfig, boundary: BoundaryConfig, finish: FinishConfig,
    invert: InvertConfig, console: Console,
) -> None:  # fmt: skip
    """Fit a direction to pairs, labels or a judge, whichever `source` gives, and write it to `out`."""
    given = [key for key in ("pairs", "labels", "attribute") if getattr(source, key)]
    if len(given) != 1:
        raise ConfigError("give exactly one of --pairs, --labels and --attribute to fit a direction to")
    if source.pairs:
        fit_pairs(out, name, source.pairs, pairs, finish, invert, console)
    elif source.labels:
        fit_labels(out, name, source.labels, boundary, finish, invert, console)
    else:
        fit_attribute(out, name, source.attribute, boundary, finish, invert, console)


def fit_attribute(
    out: str, name: str, attribute: str, boundary: BoundaryConfig, finish: FinishConfig, invert: InvertConfig,
    console: Console,
) -> None:  # fmt: skip
    """Fit a direction to what a judge says of renders, and write it to `out`."""
    judge = find_judge(attribute)
    generator: Any = load_generator(invert.generator, pick_device(invert.device))
    if boundary.data:
        w = photo_codes(generator, boundary.data, boundary.exclude)
    else:
        w = sample_codes(generator, boundary.samples, boundary.seed, boundary.psi)
    scores = score_codes(generator, w[:, None].repeat(1, generator.num_ws, 1), judge)
    found = fit_boundary(w, scores, boundary)
    direction = describe(generator, name, found.step, finish, {"method": "linear boundary", "attribute": attribute})
    source = Path(boundary.data).name if boundary.data else f"{boundary.samples} samples"
    low = w[scores.argsort()[: max(len(w) // 2, 1)]]  # codes that have little of it, as those it will be used on
    direction = calibrate(generator, direction, judge, low, {**found.report, "data": source})
    save_direction(out, direction)
    console.say(f"{out}: {name} for {generator.meta.name}; {summary(direction)}")


def fit_labels(
    out: str, name: str, labels: str, boundary: BoundaryConfig, finish: FinishConfig, invert: InvertConfig,
    console: Console,
) -> None:  # fmt: skip
    """Fit a direction to the user's labels of latents, photos or seeds, and write it to `out`."""
    inverter = Inverter(invert, ProjectionConfig())
    generator: Any = inverter.generator
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
    generator: Any = load_generator(generator_name)
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
