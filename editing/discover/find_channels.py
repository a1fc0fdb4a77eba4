"""A direction of a few channels: those that move one trait of a face and spare others (StyleSpace, Wu et al. 2021)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from editing.discover.channels import IDENTITY, ROWS, ChannelTable, found_table
from editing.judging import as_face
from editing.operations.render import Render
from editing.reach import styles_of_shape
from inversion.faces.judges import identity_distance
from inversion.faces.measure_table import MEASURES
from inversion.faces.traits import TRAITS, dependency, traits
from inversion.latents import Latent
from inversion.statistics import random_ws
from stylegan_core.checkpoints.load import load_generator
from stylegan_core.console import Console
from stylegan_core.devices import fit_process
from stylegan_core.directions import Direction, save_direction
from stylegan_core.errors import ConfigError
from stylegan_core.networks.protocol import Generator
from stylegan_core.seeds import generator_for
from stylegan_core.spelling import suggestion

FACES = 4  # on which the table's word is checked by renders
FACES_SEED = 1_000_000  # far from those that the table was made of
SHORTLIST = 3  # channels that are tried on renders for each that is wanted
TRIED = 3.0  # standard deviations by which they are moved there
LONGEST = 6.0  # and by which one may be moved at strength 1
PERSON = 0.33  # identity distance that strength 1 does not exceed
OTHERS, PERSON_WEIGHT, EFFORT = 0.15, 4.0, 0.02  # weights: of a trait nobody named, of the person, of the step's length
SHORTER, BACK_OFF = 0.85, 12


@dataclass(frozen=True)
class Effects:
    """What some channels were seen to do on renders, for a standard deviation of each."""

    mean: Tensor  # [len(TRAITS), K] in standard deviations of the traits
    person: Tensor  # [K]: mean identity distance


def find_direction_of_channels(
    out: str, name: str, moves: str, spares: str, num: int, generator_name: str, table: str, console: Console
) -> None:
    """Find a direction of `num` channels by the table of a generator, and write it to `out`."""
    generator: Generator = load_generator(generator_name)
    fit_process(generator.img_resolution)
    kept = [part for part in (part.strip() for part in spares.split(",")) if part]
    direction = find_channels(generator, found_table(generator, table), name, moves, kept, num)
    save_direction(out, direction)
    report = direction.report
    console.say(
        f"{out}: {name} for {generator.meta.name}; strength 1 is {direction.unit}, identity distance "
        f"{report['identity_distance']:.2f}, attribute dependency {report['dependency']:.2f}"
    )


def find_channels(
    generator: Generator, table: ChannelTable, name: str, moves: str, spares: Sequence[str], num: int
) -> Direction:
    """Return the direction of `num` channels that moves a trait, as `mouth-open` (`-mouth-open`: less of it), with the
    least change of the traits and the identity in `spares`.

    The table's gradients choose candidates (of landmark measures among the channels that move things, not colours),
    and renders of faces that it was not made of decide: each candidate is moved both ways, and the shortest step that
    moves the trait by one standard deviation while the others stay is found by ridge regression. Strength 1 is that
    step, or as much of it as leaves the person within `PERSON`."""
    wanted, sign = moves.removeprefix("-"), -1.0 if moves.startswith("-") else 1.0
    for text, known in [(wanted, TRAITS), *((spare, ROWS) for spare in spares)]:
        if text not in known:
            raise ConfigError(f"nothing is called '{text}'{suggestion(text, known)}; there are {', '.join(known)}")
    if table.samples < 1:
        raise ConfigError("the table of channels was made of no face yet; run `invertigo channels fit`")
    weights = torch.tensor([1.0 if trait in spares else OTHERS for trait in TRAITS])
    weights[TRAITS.index(wanted)] = 0.0
    person = PERSON_WEIGHT if IDENTITY in spares else PERSON_WEIGHT * OTHERS
    layers = styles_of_shape(generator) if wanted in MEASURES else [layer for layer, _ in table.layers]
    chosen = candidates(table, TRAITS.index(wanted), weights, person, SHORTLIST * num, layers)
    seen = tried(generator, table, chosen)
    for few in (chosen, None):
        amounts = sign * solved(seen, TRAITS.index(wanted), weights, person)
        if few is not None:
            kept = amounts.abs().topk(min(num, len(amounts))).indices
            chosen, seen = chosen[kept], Effects(seen.mean[:, kept], seen.person[kept])
    whole = torch.zeros(table.mean.shape[1])
    whole[chosen] = amounts.clamp(-LONGEST, LONGEST)
    return measured(generator, table, name, wanted, whole, spares)


def candidates(
    table: ChannelTable, column: int, weights: Tensor, person: float, num: int, layers: Sequence[str]
) -> Tensor:
    """Return the channels [num] of `layers` that move a trait most for what they do beside it, by the table."""
    among = torch.cat([torch.full((size,), name in layers) for name, size in table.layers])
    effect = table.mean[: len(TRAITS)] / table.spread[:, None]
    beside = (weights[:, None] * effect.square()).sum(dim=0) + person * table.square[ROWS.index(IDENTITY)]
    own = effect[column].square() * among
    steady = own / (table.square[column] / table.spread[column] ** 2).clamp_min(1e-12)  # 1: the same on all faces
    score = own * steady / (beside + EFFORT * own.mean())
    # Of those that hardly move it none helps, however little they do beside.
    return (score * (own > own.max() / 100)).topk(min(num, len(score))).indices


@torch.no_grad()
def tried(generator: Generator, table: ChannelTable, chosen: Tensor) -> Effects:
    """Move each channel [K] up and down on `FACES` faces, and see what comes of it."""
    alignment, mean, person = generator.meta.alignment, [], []
    renders = [_render(generator, index) for index in range(FACES)]
    for channel in chosen.tolist():
        change, distance = torch.zeros(len(TRAITS)), 0.0
        for render, ws in renders:
            step = torch.zeros(table.mean.shape[1])
            step[channel] = TRIED
            up, down = (as_face(render.after({"styles": table.step(way * step)})(ws)) for way in (1.0, -1.0))
            change += (traits(up, alignment) - traits(down, alignment))[0].cpu() / (2 * TRIED * FACES)
            distance += float(identity_distance(up, down, alignment)) / (2 * TRIED * FACES)
        mean.append(change / table.spread)
        person.append(distance)
    return Effects(torch.stack(mean, dim=1), torch.tensor(person))


def solved(seen: Effects, column: int, weights: Tensor, person: float) -> Tensor:
    """Return the amounts [K] that move a trait by one standard deviation with the least change beside it."""
    beside = weights.sqrt()[:, None] * seen.mean
    gram = beside.T @ beside + torch.diag(person * seen.person.square() + EFFORT * seen.mean[column].square().mean())
    way = torch.linalg.solve(gram, seen.mean[column])
    return way / (way @ seen.mean[column]).clamp_min(1e-9)


@torch.no_grad()
def measured(
    generator: Generator, table: ChannelTable, name: str, wanted: str, amounts: Tensor, spares: Sequence[str]
) -> Direction:
    """Make a direction of amounts [C], shortened until the person stays, with what it does in its report."""
    alignment, column, faces = generator.meta.alignment, TRAITS.index(wanted), []
    for index in range(FACES):
        render, ws = _render(generator, index)
        before = as_face(render(ws))
        faces.append((render, ws, before, traits(before, alignment)))
    for _ in range(BACK_OFF):
        edited = [as_face(render.after({"styles": table.step(amounts)})(ws)) for render, ws, *_ in faces]
        distances = [float(identity_distance(e, f[2], alignment)) for e, f in zip(edited, faces, strict=True)]
        if sum(distances) / FACES <= PERSON:
            break
        amounts = SHORTER * amounts
    changes = torch.cat([traits(e, alignment) - f[3] for e, f in zip(edited, faces, strict=True)]).cpu()
    mean = changes.mean(dim=0)
    report = {
        "method": "channels", "attribute": wanted, "spares": list(spares), "table_faces": table.samples,
        "measured_on": FACES, "identity_distance": sum(distances) / FACES,
        "dependency": dependency(changes / table.spread, wanted),
        "mean_change": {trait: round(float(value), 4) for trait, value in zip(TRAITS, mean, strict=True)},
        "channels": [
            [*table.place(index), round(float(amounts[index]), 3)] for index in amounts.nonzero().flatten().tolist()
        ],
    }  # fmt: skip
    unit = f"{float(mean[column]):+.3g} in {wanted} on average"
    still = torch.zeros(1, 1, generator.w_dim)
    return Direction(
        name, still, table.generator, table.generator_name, unit=unit, report=report, styles=table.step(amounts)
    )


def _render(generator: Generator, index: int) -> tuple[Render, Tensor]:
    ws = random_ws(generator, 1, generator_for(FACES_SEED + index))
    return Render(generator, Latent(ws.cpu(), ws.cpu(), generator=generator.meta.fingerprint)), ws
