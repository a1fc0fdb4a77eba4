"""Drag points of a face: the generator's features are made to move along, on the image manifold (Pan et al. 2023)."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from editing.dials import natural_axes
from editing.judging import as_face
from editing.operations.render import Render
from editing.reach import layers_of_shape
from inversion.delta import tuned_synthesis
from inversion.faces.detect import detect_faces
from inversion.faces.landmarks import VIEWS, find_landmarks, trace_landmarks
from stylegan_core.errors import ConfigError
from stylegan_core.images import to_uint8
from stylegan_core.networks.protocol import Alignment, FeatureLayer, Generator

STEPS = 40  # of Adam
ARRIVAL = 0.6  # share of the steps after which the points are asked to be at their targets
RATE = 0.12  # in standard deviations of W along its principal axes
GRID = 128  # side to which features are enlarged, so that points move by less than a cell
SUPERVISED = 0.03  # radius around a point whose features move along, in units of the face
TRACKED = 0.06  # radius in which a point is looked for again
LEAST_SIDE = 64  # pixels of the features that are followed, where the image has so many
MIN_CELLS = 1.0  # of the feature layer: radii are at least so large, for small generators
HOLD_WEIGHT, SPREAD_WEIGHT = 10.0, 0.02
NEAR = 0.03  # of the face: a point so close to a landmark is taken to lie on it
LANDMARK_WEIGHT = 2.0  # of the way that landmarks still have to go, as a share of the whole way
SHORTEST_WAY = 0.01  # of the face, that counts as the whole way
COLOUR_WEIGHT = 5.0  # of the mean change of colour in cells, whose range is 2
COLOUR_CELLS = 16  # a side: finer ones would hold the shape
LOOKS = 1  # crops that the landmark network looks at in each step


@dataclass(frozen=True)
class Dragged:
    """Where points got, in units of the face."""

    ws: Tensor  # [1, num_ws, w_dim]
    ends: NDArray[np.float64]  # [P, 2]


def drag(render: Render, ws: Tensor, starts: NDArray[np.float64], targets: NDArray[np.float64],
         free_area: Tensor | None = None) -> Dragged:  # fmt: skip
    """Move what is at `starts` [P, 2] to `targets` [P, 2], both in units of the aligned face.

    Motion supervision as Pan et al. 2023 (eq. 1), but towards the patch of features that was at the start, which is
    asked for ever further along the line (as the templates of Ling et al. 2024, FreeDrag): nothing has to be tracked on
    the way, so nothing oscillates. Features may arrive without the shape around them, so where a point lies on a
    landmark of a face, the landmark is asked to go the same way. The codes of the layers up to `FINEST` move, in W's
    principal axes. `free_area` [1, 1, R, R] is 1 where the image may change, 0 where it is held. Points are found again
    at the end: landmarks by their network, others by the nearest features."""
    if not len(starts):
        return Dragged(ws, starts)
    features = _Features(render)
    axes, layers = natural_axes(render.generator)[1].to(ws), layers_of_shape(render.generator)

    def code(free: Tensor) -> Tensor:
        return torch.cat([ws[:, : len(layers)] + (free @ axes)[None], ws[:, len(layers) :]], dim=1)

    begin, end = torch.from_numpy(starts).to(ws), torch.from_numpy(targets).to(ws)
    with torch.no_grad():
        before, face = features(ws)
        patches = features.patches(before, begin, SUPERVISED)  # [P, K, C]
        colours = coarse(face)
        shape = Landmarks(face, render.alignment, begin)
    held = None if free_area is None else 1 - F.interpolate(free_area.to(ws), size=(GRID, GRID), mode="area")
    free = ws.new_zeros(len(layers), len(axes)).requires_grad_()
    optimizer = torch.optim.Adam([free], lr=RATE, betas=(0.8, 0.98))
    for step in range(1, STEPS + 1):
        here = begin + (end - begin) * min(1.0, step / (ARRIVAL * STEPS))
        now, face = features(code(free))
        loss = (features.patches(now, here, SUPERVISED) - patches).abs().sum(dim=2).mean()
        if len(shape.on):
            loss = loss + LANDMARK_WEIGHT * shape.distance(face, here - begin, end - begin)
        loss = loss + COLOUR_WEIGHT * (coarse(face) - colours).abs().mean()
        if held is not None:
            loss = loss + HOLD_WEIGHT * ((now - before).abs().sum(dim=1, keepdim=True) * held).mean()
        optimizer.zero_grad()
        (loss + SPREAD_WEIGHT * free.square().sum() / len(layers)).backward()
        optimizer.step()
    moved = code(free.detach())
    with torch.no_grad():
        now, face = features(moved)
        ends = features.find(now, before, begin, end)
        ends[shape.on] = shape.ends(face)
    return Dragged(moved, ends.double().cpu().numpy())


def feature_layer(generator: Generator) -> tuple[str, FeatureLayer]:
    """Return the layer whose features are followed: the first of at least a quarter of the image's pixels a side, and
    `LEAST_SIDE`; raises `ConfigError` for a generator that shows none."""
    layers = getattr(generator, "feature_layers", {})
    wanted = min(max(LEAST_SIDE, generator.img_resolution // 4), generator.img_resolution)
    for name, layer in layers.items():
        if layer.side - 2 * layer.margin >= wanted:
            return name, layer
    raise ConfigError(
        f"{generator.meta.name} shows no layer's features, which points are dragged by; take another generator"
    )


def coarse(face: Tensor) -> Tensor:
    """Return the mean colours [1, 3, COLOUR_CELLS, COLOUR_CELLS] of a face [1, 3, R, R]."""
    return F.adaptive_avg_pool2d(face, min(COLOUR_CELLS, face.shape[-1]))


class Landmarks:
    """The landmarks on which dragged points lie, as their network sees them; none where the render shows no face."""

    def __init__(self, face: Tensor, alignment: Alignment, points: Tensor) -> None:
        self.alignment, self.points = alignment, points
        self.first = find_landmarks(face, alignment)[0].to(points)  # [68, 2]
        distance, nearest = (points[:, None] - self.first[None]).norm(dim=2).min(dim=1)
        known = bool((distance < NEAR).any()) and bool(detect_faces(to_uint8(face)[0]))
        self.on = (distance < NEAR).nonzero().flatten() if known else nearest[:0]  # which points
        self.which = nearest[self.on]  # of the 68
        self.seen = self._look(face) if known else self.first[self.which]

    def distance(self, face: Tensor, moved: Tensor, whole: Tensor) -> Tensor:
        """Return how far the landmarks of a face [1, 3, R, R] are from where `moved` [P, 2] takes them, as a share of
        the `whole` way [P, 2], differentiably."""
        missing = self._look(face) - self.seen - moved[self.on]
        return (missing.norm(dim=1) / whole[self.on].norm(dim=1).clamp_min(SHORTEST_WAY)).mean()

    def ends(self, face: Tensor) -> Tensor:
        """Return where the points that lie on landmarks are on a face, [len(on), 2]."""
        now = find_landmarks(face, self.alignment)[0].to(self.first)
        return self.points[self.on] + (now - self.first)[self.which]

    def _look(self, face: Tensor) -> Tensor:
        return trace_landmarks(face, self.alignment, VIEWS[:LOOKS])[0].to(self.points)[self.which]


class _Features:
    """The features of one layer over the image, of unit length, on a grid of `GRID` cells a side."""

    def __init__(self, render: Render) -> None:
        device, latent = render.generator.w_avg.device, render.latent
        noise = {name: level.to(device) for name, level in latent.noise.items()}
        self.noise = {"noise": noise} if noise else {}
        self.synthesis = tuned_synthesis(
            render.generator, latent.delta, latent.styles
        )  # corrected features are the photo's detail
        self.name, self.layer = feature_layer(render.generator)
        cell = MIN_CELLS / (self.layer.side - 2 * self.layer.margin)
        self.least = max(cell, 1.5 / GRID)

    def __call__(self, ws: Tensor) -> tuple[Tensor, Tensor]:
        """Return [1, C, GRID, GRID] for ws [1, num_ws, w_dim], and the face [1, 3, R, R] that they become."""
        kept: list[Tensor] = []

        def keep(x: Tensor) -> Tensor:
            kept.append(x)
            return x

        image = self.synthesis(ws, noise_mode="const", hooks={self.name: keep}, **self.noise)
        margin = round(self.layer.margin)
        inner = kept[0][..., margin : self.layer.side - margin, margin : self.layer.side - margin].float()
        large = F.interpolate(inner, size=(GRID, GRID), mode="bilinear", align_corners=False)
        return F.normalize(large, dim=1), as_face(image)

    def patches(self, features: Tensor, centres: Tensor, radius: float) -> Tensor:
        """Return the features [P, K, C] at a disc of K places around each of `centres` [P, 2]."""
        places = centres[:, None] + self._disc(radius).to(features)[None]
        grid = (places * 2 - 1)[None]  # [1, P, K, 2]
        found = F.grid_sample(features, grid, padding_mode="border", align_corners=False)  # [1, C, P, K]
        return found[0].permute(1, 2, 0)

    def find(self, features: Tensor, before: Tensor, starts: Tensor, targets: Tensor) -> Tensor:
        """Return where what was at `starts` [P, 2] is now: the features most alike, around the lines to the targets."""
        wanted = self.patches(before, starts, SUPERVISED)  # [P, K, C]
        disc = self._disc(TRACKED).to(features)
        ends = []
        for index in range(len(starts)):
            shares = torch.linspace(0, 1, 9, device=features.device)[:, None]
            line = starts[index] + shares * (targets[index] - starts[index])
            places = (line[:, None] + disc[None]).flatten(0, 1)  # [L, 2]
            found = self.patches(features, places, SUPERVISED)  # [L, K, C]
            ends.append(places[(found - wanted[index]).abs().sum(dim=2).mean(dim=1).argmin()])
        return torch.stack(ends)

    def _disc(self, radius: float) -> Tensor:
        """Return the offsets [K, 2] of the cells within a radius, in units of the face."""
        cells = max(radius, self.least) * GRID
        steps = torch.arange(-int(cells), int(cells) + 1, dtype=torch.float32)
        places = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1).flatten(0, 1)
        return places[places.norm(dim=1) <= cells] / GRID
