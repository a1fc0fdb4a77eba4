"""Give a generator's dials directions of a few channels of style space, and see how far all of them together reach."""

from collections.abc import Callable
from dataclasses import replace

import torch

from editing.codes import latent_of_code
from editing.config import DEFAULT_SEARCH
from editing.dials import DialTable
from editing.discover.channels import IDENTITY, ChannelTable
from editing.discover.find_channels import find_channels
from editing.operations.render import Render
from editing.reach import reach
from inversion.faces.measures import MEASURES
from inversion.statistics import random_ws
from stylegan_core.networks.protocol import Generator
from stylegan_core.seeds import generator_for

FACES, FACES_SEED = 8, 4_000_000  # to which nothing was fitted, that ranges are seen on
FARTHER = 1.0  # how far beyond the range of samples is tried, in widths of it
SHARE = 0.25  # of the faces that may stay short of an end
NUM = 8  # channels of each


def with_channels(generator: Generator, dials: DialTable, table: ChannelTable) -> DialTable:
    """Return the dials with a direction of `NUM` channels for each measure: one that moves it with little beside it, by
    the table of what the generator's channels do."""
    found = []
    for name in dials.names:
        spared = [spare for spare in (IDENTITY, *dials.names) if spare != name]
        found.append(find_channels(generator, table, name, name, spared, NUM))
    channels = torch.stack([
        torch.cat([direction.styles.get(layer, torch.zeros(size)) for layer, size in table.layers])
        for direction in found
    ])  # fmt: skip
    effects = [[direction.report["mean_change"][name] for name in dials.names] for direction in found]
    person = [direction.report["identity_distance"] for direction in found]
    return replace(
        dials, layers=table.layers, channels=channels, effects=torch.tensor(effects), person=torch.tensor(person)
    )


def reached_ranges(
    generator: Generator, dials: DialTable, num: int = FACES, told: Callable[[int, float], None] | None = None
) -> DialTable:
    """Return the dials with the ranges that `reach` came to on `num` faces to which nothing was fitted, below the
    identity ceiling: three of four of them reached both ends. `told(searches, 0)` hears of each search."""
    ends = torch.zeros(len(dials.names), 2, num)
    for index in range(num):
        ws = random_ws(generator, 1, generator_for(FACES_SEED + index))
        render = Render(generator, latent_of_code(generator, ws, {}))
        for row, name in enumerate(dials.names):
            low, high = dials.range_of(name)
            for end, far in enumerate((low - FARTHER * (high - low), high + FARTHER * (high - low))):
                wanted = min(max(far, MEASURES[name].plausible[0]), MEASURES[name].plausible[1])
                found = reach(render, ws, {name: wanted}, DEFAULT_SEARCH.identity_ceiling, dials)
                ends[row, end, index] = found.values[name]
                if told:
                    told((index * len(dials.names) + row) * 2 + end + 1, 0.0)
    low_ends, high_ends = ends[:, 0].quantile(1 - SHARE, dim=1), ends[:, 1].quantile(SHARE, dim=1)
    ranges = torch.stack([torch.minimum(low_ends, high_ends), torch.maximum(low_ends, high_ends)], dim=1)
    return replace(dials, ranges=ranges, reached_on=num)
