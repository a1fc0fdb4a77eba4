# ruff: noqa: E402
"""The figures that inversion is to reach: against the baselines, by method, in batches, and on random generators.

    python benchmarks/inversion.py --data faces128.zip [--encoder FILE] [--faces 4 --skip 0] [--only speed,hybrid,...]

The validation faces are those of the last pairs of the set (by person), kept out of the smile's fit. Every ratio comes
from one run on one machine, in turns. Prints; writes nothing."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent.parent)  # a script's own folder comes first, and holds namesakes

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from editing.discover.pairs import read_pairs
from inversion.config import InvertConfig, ProjectionConfig, TuneConfig
from inversion.delta import tuned_synthesis
from inversion.encoder import guess_codes, with_encoder
from inversion.faces.attributes import EXPRESSIONS
from inversion.faces.judges import age_and_gender, expression_probabilities, identity_distance
from inversion.faces.landmarks import find_landmarks
from inversion.faces.measures import mouth_corners, yaw
from inversion.invert import Inverter
from inversion.losses import perceptual_features
from inversion.methods import METHODS
from inversion.render import face_renderer
from inversion.scores import psnr
from inversion.statistics import w_statistics
from inversion.task import Projection, Task
from stylegan_core.directions import find_direction
from stylegan_core.networks.configs import StyleGAN2Config, StyleGAN3Config
from stylegan_core.networks.protocol import CheckpointMeta
from stylegan_core.networks.stylegan2 import StyleGAN2Generator
from stylegan_core.networks.stylegan3 import StyleGAN3Generator

HAPPY = EXPRESSIONS.index("happy")
DIAL = [0.1 * step for step in range(1, 21)]


@dataclass(frozen=True)
class Bench:
    """What the parts share."""

    inverter: Inverter
    targets: Tensor  # [N, 3, R, R]: neutral validation faces
    encoder: str
    reference_steps: int

    def task(self, method: str, targets: Tensor, steps: int, **changes: Any) -> Task:
        """A task with what `invert --method` gives it: of the encoder's file all, or nothing."""
        task = Task(
            self.inverter.generator, targets, self.inverter.perceptual, ProjectionConfig(steps=steps, space="w+")
        )
        if METHODS[method].uses_encoder:
            task = with_encoder(task, self.encoder)
        return replace(task, **changes)

    def timed(self, method: str, targets: Tensor, steps: int, **changes: Any) -> tuple[Projection, float]:
        """Run a method and time it."""
        began = time.perf_counter()
        result = METHODS[method].search(self.task(method, targets, steps, **changes))
        return result, time.perf_counter() - began


def distance(bench: Bench, target: Tensor, result: Projection) -> float:
    """The reference's own loss of a result: the perceptual distance."""
    perceptual = bench.inverter.perceptual
    with torch.no_grad():
        image = bench.inverter.generator.synthesis(result.ws)
        return float(perceptual.between(*(perceptual_features(perceptual, part) for part in (image, target))))


def speed(bench: Bench) -> None:
    """Seconds of the shortest search that reaches the reference projector's own loss at its last step."""
    print(f"{'face':>4} {'method':>9} {'seconds':>8} {'loss':>7} {'steps':>5} {'share':>6}")
    for index, target in enumerate(bench.targets.split(1)):
        found, seconds = bench.timed("reference", target, bench.reference_steps)
        goal = distance(bench, target, found)
        print(f"{index:4} {'reference':>9} {seconds:8.1f} {goal:7.4f} {bench.reference_steps:5} {1:6.3f}", flush=True)
        for method in ("project", "hybrid"):
            for steps in range(10, 330, 10):
                ours, spent = bench.timed(method, target, steps)
                if distance(bench, target, ours) <= goal:
                    break
            print(f"{index:4} {method:>9} {spent:8.1f} {distance(bench, target, ours):7.4f} {steps:5} "
                  f"{spent / seconds:6.3f}", flush=True)  # fmt: skip


def report(name: str, bench: Bench, result: Projection, seconds: float) -> None:
    """Print a line of fidelity."""
    generator, alignment = bench.inverter.generator, bench.inverter.generator.meta.alignment
    with torch.no_grad():
        images = generator.synthesis(result.ws)
        distance = identity_distance(images.clamp(-1, 1), bench.targets, alignment).mean()
    values = psnr(images, bench.targets)
    loss, steps = result.loss.mean(), sum(result.num_steps) / len(result.num_steps)
    print(
        f"{name:17} loss {loss:7.4f}  PSNR {values.mean():6.2f} (lowest {values.min():5.2f})  identity {distance:.3f}  "
        f"{steps:4.0f} steps  {seconds / len(values):6.2f} s",
        flush=True,
    )


def hybrid(bench: Bench) -> None:
    """`hybrid` in 50 steps beside `project` in 300, and what either makes of more; the encoder's guess alone."""
    generator, targets = bench.inverter.generator, bench.targets
    guess = guess_codes(generator, targets, bench.encoder)
    lbfgs = ProjectionConfig(steps=300, optimizer="lbfgs", space="w+")
    began = time.perf_counter()
    for target in targets:
        guess_codes(generator, target[None], bench.encoder)
    report(
        "encoder alone", bench, METHODS["hybrid"].search(bench.task("hybrid", targets, 0)), time.perf_counter() - began
    )
    report("hybrid 50", bench, *bench.timed("hybrid", targets, 50))
    report("project 300", bench, *bench.timed("project", targets, 300))
    report("  by L-BFGS", bench, *bench.timed("project", targets, 300, config=lbfgs))
    report("  from the guess", bench, *bench.timed("project", targets, 300, start=guess))
    for steps in (100, 200, 300):
        report(f"hybrid {steps}", bench, *bench.timed("hybrid", targets, steps))


@contextmanager
def the_way_before() -> Iterator[None]:
    """Tune as was done before halves: the pivot and drawn edits at the whole size, compared at 256 px."""
    whole = {"half_of": lambda generator: generator, "at_half_size": lambda task: task, "DRAWN_SIDE": 256}
    with patch.multiple("inversion.tune", **whole):
        yield


STEPS_BEFORE = (200, 400)  # of pivot and tuning, in the way before


def tune(bench: Bench) -> None:
    """`tune`: the time of its steps beside the way before, in turns; then fidelity, size, and what smiles are kept."""
    target, few = bench.targets[:1], 6
    seconds: dict[str, list[list[float]]] = {"now": [], "before": []}
    for _ in range(3):
        for name, way in (("now", nullcontext()), ("before", the_way_before())):
            with way:
                began = time.process_time()
                bench.timed("tune", target, few, tune=TuneConfig(tune_steps=0))
                pivot = time.process_time()
                bench.timed("tune", target, 0, tune=TuneConfig(tune_steps=few))
                seconds[name].append([(pivot - began) / few, (time.process_time() - pivot) / few])
    least = {name: [min(column) for column in zip(*rows, strict=True)] for name, rows in seconds.items()}
    steps = {"now": (METHODS["tune"].steps, TuneConfig().tune_steps), "before": STEPS_BEFORE}
    whole = {name: sum(n * s for n, s in zip(steps[name], least[name], strict=True)) for name in steps}
    for name, (pivot, bent) in least.items():
        print(f"tune  {name}: {pivot:.3f} s a step of the pivot, {bent:.3f} s of the generator, {steps[name]} steps: "
              f"{whole[name]:.0f} processor seconds")  # fmt: skip
    print(f"tune  now / before: {whole['now'] / whole['before']:.2f}", flush=True)
    tuned(bench, "tune", METHODS["tune"].steps, TuneConfig())


def tune_before(bench: Bench) -> None:
    """Print the same of the way before."""
    with the_way_before():
        tuned(bench, "tune before", STEPS_BEFORE[0], TuneConfig(tune_steps=STEPS_BEFORE[1]))


def tuned(bench: Bench, name: str, steps: int, config: TuneConfig) -> None:
    """Tune to every face; print how much of the smile's change through the plain generator is kept, too.

    The judge goes from no to yes within a small part of the dial, at another place for every face: the change is the
    mean of those at the strengths `DIAL`, so a tuned face that smiles a tenth later loses a twentieth."""
    generator, alignment = bench.inverter.generator, bench.inverter.generator.meta.alignment
    smile = find_direction("smile", generator).vector
    size = 2 * sum(parameter.numel() for parameter in generator.parameters())
    rows = []
    for target in bench.targets.split(1):
        began = time.process_time()
        result = bench.timed("tune", target, steps, tune=config)[0]
        seconds, delta, ws = time.process_time() - began, result.deltas[0], result.ws
        render = tuned_synthesis(generator, delta)
        with torch.no_grad():
            image = render(ws).clamp(-1, 1)
            changes = torch.stack([smile_change(draw, ws, smile, alignment) for draw in (generator.synthesis, render)])
            rows.append([
                float(psnr(generator.synthesis(ws), target)), float(psnr(image, target)),
                float(identity_distance(image, target, alignment)), *changes.flatten().tolist(),
                len(result.history[0]["tune_psnr"]), delta.num_bytes / size, seconds,
            ])  # fmt: skip
        print(name, " pivot {:.2f} dB  tuned {:.2f} dB  identity {:.3f}  smile by its judge {:+.3f} -> {:+.3f}, by the "
              "corners {:+.3f} -> {:+.3f}  {} steps  {:.3f} of the size  {:.0f} s".format(
                  *[rows[-1][column] for column in (0, 1, 2, 3, 5, 4, 6, 7, 8, 9)]), flush=True)  # fmt: skip
    mean = torch.tensor(rows).mean(dim=0).tolist()
    print(f"{name}  mean: {mean[1]:.2f} dB, identity {mean[2]:.3f}, smile kept {mean[5] / mean[3]:.0%} by its judge, "
          f"{mean[6] / mean[4]:.0%} by the corners, {mean[9]:.0f} processor seconds a face", flush=True)  # fmt: skip


def smile_change(render: Any, ws: Tensor, smile: Tensor, alignment: Any) -> Tensor:
    """Return how much a smile changes its judge over `DIAL`, and the mouth's corners at strength 1, [2]."""
    smiles = torch.cat([render(ws + strength * smile) for strength in (0, *DIAL)]).clamp(-1, 1)
    happy = expression_probabilities(smiles, alignment)[:, HAPPY]
    corners = mouth_corners(find_landmarks(smiles[[0, DIAL.index(1.0) + 1]], alignment))
    return torch.stack([happy[1:].mean() - happy[0], corners[1] - corners[0]])


def features(bench: Bench) -> None:
    """`--space f` beside W+ and beside its own codes alone: fidelity, what edits still do, size and time.

    PSNR is at 128 px, larger renders shrunk, and then at the generator's own size. Kept is the change that an edit
    makes, as a share of what it makes of the same code through the plain generator: of pictures shrunk to 64 px (how
    much of the plain change of strength 1 is in it, by least squares); of the smile by its judge over `DIAL`, and by
    the mouth's corners at strength 1; of the age's judge in years (its mean over `placed`) from strength -1 to 1 and
    from -2 to 2; from -1 to 1 of the turn of the 68 landmarks in degrees. LEC (Tov et al. 2021) is the distance
    of the code that the same search finds of the edited render, the edit taken back, from the code, in std of W; beside
    it the same of no edit at all, and the distance of these two codes, which is the edit's own share. Seconds are the
    processor's."""
    generator = bench.inverter.generator
    alignment, w_std = generator.meta.alignment, w_statistics(generator)[1]
    edits = {name: find_direction(name, generator).vector for name in ("smile", "age", "yaw")}
    heads = ("PSNR", "own", "identity", "kept:", *edits, "by:", "judge", "corners", "age 1", "age 2", "yaw",
             "LEC", "none", "edit's", "bytes", "seconds")  # fmt: skip
    print(" " * 6, *(f"{head:>8}" for head in heads))
    for name, config in (
        ("w+", ProjectionConfig(steps=50, space="w+")),
        ("f code", ProjectionConfig(space="f", f_steps=0)),
        ("f", ProjectionConfig(space="f")),
    ):
        rows, pictures, judged = [], [], []
        for target in bench.targets.split(1):
            began = time.process_time()
            found = bench.timed("hybrid", target, config.steps, config=config)[0]
            seconds, ws = time.process_time() - began, found.ws
            plain = generator.synthesis
            correction = found.corrections[0] if config.f_steps and found.corrections else None
            render = face_renderer(generator, ws, {}, None, correction)
            with torch.no_grad():
                image = render(ws).clamp(-1, 1)
                if correction:
                    pictures.append([picture_change(plain, render, ws, step) for step in edits.values()])
                    judged.append(torch.stack([changes_of(draw, ws, edits, alignment) for draw in (plain, render)]))
                edited = render(ws + edits["smile"]).clamp(-1, 1)
            alone = replace(config, f_steps=0)
            none, again = (bench.timed("hybrid", shown, config.steps, config=alone)[0].ws for shown in (image, edited))
            again = again - edits["smile"]
            rows.append([
                float(psnr(shrunk(image), shrunk(target))), float(psnr(image, target)),
                float(identity_distance(image, target, alignment)),
                *(float(((one - other) / w_std).square().mean().sqrt())
                  for one, other in ((again, ws), (none, ws), (again, none))),
                correction.num_bytes if correction else 0, seconds,
            ])  # fmt: skip
        mean = torch.tensor(rows).mean(dim=0).tolist()
        kept, by = ["" for _ in edits], ["" for _ in range(5)]
        if judged:
            kept = [f"{both / own:.0%}" for both, own in torch.tensor(pictures).sum(dim=0).tolist()]
            by = [f"{share:.0%}" for share in torch.div(*torch.stack(judged).sum(dim=0).flip(0)).tolist()]
        cells = [f"{mean[0]:.2f}", f"{mean[1]:.2f}", f"{mean[2]:.3f}", "", *kept, "", *by,
                 *(f"{value:.3f}" for value in mean[3:6]), f"{mean[6]:.0f}", f"{mean[7]:.1f}"]  # fmt: skip
        print(f"{name:6}", *(f"{cell:>8}" for cell in cells), flush=True)


def shrunk(images: Tensor, side: int = 128) -> Tensor:
    """Return images at `side` pixels, or as they are where they are smaller."""
    return interpolate(images, size=(side, side), mode="area") if images.shape[-1] > side else images


def picture_change(plain: Any, render: Any, ws: Tensor, step: Tensor) -> tuple[float, float]:
    """Return the product of what an edit changes in both ways of rendering, at 64 px, and the plain one's square."""
    one, other = (shrunk(draw(ws + step) - draw(ws), 64) for draw in (plain, render))
    return float((one * other).sum()), float(one.square().sum())


def changes_of(render: Any, ws: Tensor, edits: dict[str, Tensor], alignment: Any) -> Tensor:
    """How much edits change, in one way of rendering: the smile's judge, the mouth's corners, age twice, turn, [5]."""

    def drawn(name: str, *strengths: float) -> Tensor:
        return torch.cat([render(ws + strength * edits[name]) for strength in strengths]).clamp(-1, 1)

    aged = drawn("age", -2, -1, 1, 2)
    years = torch.stack([age_and_gender(faces, alignment)[0] for faces in placed(aged)]).mean(dim=0)
    ages = years[[1, 2]], years[[0, 3]]
    turns = yaw(find_landmarks(drawn("yaw", -1, 1), alignment))
    others = torch.stack([pair[1] - pair[0] for pair in (*ages, turns)])
    return torch.cat([smile_change(render, ws, edits["smile"], alignment), others])


def placed(faces: Tensor) -> list[Tensor]:
    """Return faces and their mirror images, each also moved by three pixels to four sides.

    The age's judge reads two years more or less of the same face a few pixels beside."""
    moved = [faces, *(faces.roll(step, dim) for dim in (2, 3) for step in (-3, 3))]
    return [face for part in moved for face in (part, part.flip(3))]


def batch(bench: Bench) -> None:
    """Images a second of eight in one search, and of eight searches."""
    targets = bench.targets[torch.arange(8) % len(bench.targets)]
    config = ProjectionConfig(steps=20, patience=0, space="w+")
    bench.timed("hybrid", targets[:1], 2)
    seconds = [[], []]
    for _ in range(2):
        seconds[0].append(sum(bench.timed("hybrid", t[None], 20, config=config)[1] for t in targets))
        seconds[1].append(bench.timed("hybrid", targets, 20, config=config)[1])
    singles, together = min(seconds[0]), min(seconds[1])
    print(f"batch of 8: {8 / together:.2f} images/s, singles {8 / singles:.2f} images/s, "
          f"ratio {singles / together:.2f} ({torch.get_num_threads()} threads, 20 steps)")  # fmt: skip


def recover(bench: Bench) -> None:
    """A random 256 px StyleGAN2, and StyleGAN3 of both variants: a generated target from w_avg."""
    torch.manual_seed(0)
    sizes = {"img_resolution": 256, "channel_base": 8192, "channel_max": 128}
    for name, network in (
        ("StyleGAN2", StyleGAN2Generator(StyleGAN2Config(**sizes))),
        ("StyleGAN3-T", StyleGAN3Generator(StyleGAN3Config(**sizes))),
        ("StyleGAN3-R", StyleGAN3Generator(StyleGAN3Config(**sizes, conv_kernel=1, use_radial_filters=True))),
    ):
        network.eval().requires_grad_(False)
        network.meta = CheckpointMeta(name, "random", "0" * 64)
        with torch.no_grad():
            target = network.synthesis(network.mapping(torch.randn(1, network.z_dim)))
        scale = 0.8 / float(target.abs().max())  # random weights know no range; the photo's is [-1, 1]
        network.synthesis.register_forward_hook(lambda module, inputs, output, scale=scale: output * scale)
        config = ProjectionConfig(steps=100, space="w")
        began = time.perf_counter()
        result = METHODS["project"].search(Task(network, target * scale, bench.inverter.perceptual, config))
        seconds = time.perf_counter() - began
        with torch.no_grad():
            mean = network.synthesis(network.w_avg.expand(1, network.num_ws, -1))
            image = network.synthesis(result.ws, noise=result.noise) if result.noise else network.synthesis(result.ws)
        reached = f"{float(psnr(mean, target * scale)):.2f} -> {float(psnr(image, target * scale)):.2f} dB"
        print(f"{name} 256 px, from w_avg: {reached} in {result.num_steps[0]} steps, {seconds:.0f} s", flush=True)


PARTS = {
    "speed": speed,
    "hybrid": hybrid,
    "tune": tune,
    "tune-before": tune_before,
    "features": features,
    "batch": batch,
    "recover": recover,
}


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="zip or folder with attributes.csv (faces128.zip)")
    parser.add_argument("--encoder", default="", help="encoder file; empty: the shipped one")
    parser.add_argument("--faces", type=int, default=4, help="validation faces")
    parser.add_argument("--skip", type=int, default=0, help="validation faces at the end that are left out")
    parser.add_argument("--reference-steps", type=int, default=1000)
    parser.add_argument("--only", default=",".join(PARTS), help="parts, of " + ",".join(PARTS))
    options = parser.parse_args()
    inverter = Inverter(InvertConfig(align=False, device="cpu"))
    pairs = read_pairs(Path(options.data))
    pairs = pairs[: len(pairs) - options.skip][-options.faces :]
    targets = torch.cat([inverter.align(pair.neutral)[0].target for pair in pairs])
    bench = Bench(inverter, targets, options.encoder, options.reference_steps)
    print(f"{inverter.generator.meta.name}, features {inverter.perceptual.name}, {len(targets)} faces, "
          f"{torch.get_num_threads()} threads")  # fmt: skip
    for name in options.only.split(","):
        PARTS[name](bench)


if __name__ == "__main__":
    main()
