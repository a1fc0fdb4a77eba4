"""Drag points of a face: the generator's features are made to move along, on the image manifold (Pan et al. 2023)."""

import copy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from editing.dials import natural_axes
from editing.judging import as_face
from editing.operations.render import FADED, Render
from editing.reach import layers_of_shape
from inversion.delta import tuned_synthesis
from inversion.faces.detect import detect_faces
from inversion.faces.landmarks import VIEWS, find_landmarks, trace_landmarks
from inversion.faces.paste import ellipse_mask
from inversion.faces.pins import Pins
from inversion.half_size import half_of
from stylegan_core.errors import ConfigError
from stylegan_core.images import to_uint8
from stylegan_core.networks.protocol import Alignment, FeatureLayer, Generator
from stylegan_core.styles import style_layers

ROUNDS = (14, 5, 5, 5)  # steps of Adam: after each round it is looked where the points are, and the rest is asked for
ARRIVAL = 0.6  # share of the first round's steps after which the points are asked to be at their targets
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
ENOUGH = 0.7  # share of the way that a render has to come for the photo to go all of it
LOOKS = 2  # crops that the landmark network looks at in each step


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
    principal axes. `free_area` [1, 1, R, R] is 1 where the image may change, 0 where it is held.

    Steps look at half the size, and at the code alone; a correction of features follows a face by its motion, which is
    known only once it has moved. So after each of `ROUNDS` landmarks are found in the whole render, as it will be, and
    what they miss is asked for on top; the best round is returned. Ends are those of landmarks by their network, of
    other points those of the nearest features."""
    if not len(starts):
        return Dragged(ws, starts)
    search = _Search(render, ws, torch.from_numpy(starts).to(ws), torch.from_numpy(targets).to(ws), free_area)
    best, moved, ends = float("inf"), ws, search.begin
    for number, steps in enumerate(ROUNDS):
        for step in range(1, steps + 1):
            search.step(1.0 if number else min(1.0, step / (ARRIVAL * steps)))
        code, found = search.look()
        missing = float((found - search.end).norm(dim=1).mean())
        if missing < best:
            best, moved, ends = missing, code, found
    return Dragged(moved, ends.double().cpu().numpy())


class _Search:
    """The way of some points from `begin` to `end`, both [P, 2]."""

    def __init__(self, render: Render, ws: Tensor, begin: Tensor, end: Tensor, free_area: Tensor | None) -> None:
        self.render, self.ws, self.begin, self.end = render, ws, begin, end
        self.aim = end  # of landmarks: farther, where they fell short
        self.features, self.axes = _Features(render), natural_axes(render.generator)[1].to(ws)
        self.num = len(layers_of_shape(render.generator))
        with torch.no_grad():
            self.before, face = self.features(ws)
            self.patches = self.features.patches(self.before, begin, SUPERVISED)  # [P, K, C]
            self.colours = coarse(face)
            self.whole = Landmarks(as_face(render(ws)), render.alignment, begin)
            self.shape = self.whole.seen_in(face)
        self.held = None if free_area is None else 1 - F.interpolate(free_area.to(ws), size=(GRID, GRID), mode="area")
        self.free = ws.new_zeros(self.num, len(self.axes)).requires_grad_()
        self.optimizer = torch.optim.Adam([self.free], lr=RATE, betas=(0.8, 0.98))

    def code(self) -> Tensor:
        """Return the code as it is now, [1, num_ws, w_dim]."""
        return torch.cat([self.ws[:, : self.num] + (self.free @ self.axes)[None], self.ws[:, self.num :]], dim=1)

    def step(self, share: float) -> None:
        """Take one step towards the points at a share of their way."""
        way = self.end - self.begin
        now, face = self.features(self.code())
        loss = (self.features.patches(now, self.begin + share * way, SUPERVISED) - self.patches).abs().sum(dim=2).mean()
        if len(self.shape.on):
            loss = loss + LANDMARK_WEIGHT * self.shape.distance(face, share * (self.aim - self.begin), way)
        loss = loss + COLOUR_WEIGHT * (coarse(face) - self.colours).abs().mean()
        if self.held is not None:
            loss = loss + HOLD_WEIGHT * ((now - self.before).abs().sum(dim=1, keepdim=True) * self.held).mean()
        self.optimizer.zero_grad()
        (loss + SPREAD_WEIGHT * self.free.square().sum() / self.num).backward()
        self.optimizer.step()

    @torch.no_grad()
    def look(self) -> tuple[Tensor, Tensor]:
        """Return the code, and where the points are in its render [P, 2]; what landmarks miss is asked for from
        now on, and once more the way at most."""
        code = self.code().detach()
        ends = self.features.find(self.features(code)[0], self.before, self.begin, self.end)
        ends[self.whole.on] = self.whole.ends(as_face(self.render(code)))
        more, most = self.aim - ends, (self.end - self.begin).norm(dim=1, keepdim=True)
        self.aim = self.end + more * (most / more.norm(dim=1, keepdim=True).clamp_min(1e-12)).clamp_max(1.0)
        return code, ends


def pin(
    render: Render, ws: Tensor, found: Dragged, starts: NDArray[np.float64], targets: NDArray[np.float64]
) -> tuple[NDArray[np.float64], list[list[float]]] | None:
    """Return where the points [P, 2] end in the photo, and what its pixels have to be moved by beside the landmarks.

    The photo's own pixels can go where the landmarks of a render only nearly go: the whole way, where the render came
    `ENOUGH` of it, else as much less. None where the photo does not move by landmarks."""
    if not len(starts):
        return None
    way = targets - starts
    came = ((found.ends - starts) * way).sum(axis=1) / np.maximum(np.square(way).sum(axis=1), 1e-12)
    way = way * np.clip(came / ENOUGH, 0, 1)[:, None]
    pins = render.farther(ws, found.ws, Pins(starts, way))
    if pins is None:
        return None
    fading = ellipse_mask(torch.from_numpy(starts + way)).numpy()[:, None]
    ends = starts + way * np.clip(fading / FADED, 0, 1)
    return ends, np.concatenate([pins.places, pins.rest], axis=1).round(5).tolist()


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

    def seen_in(self, face: Tensor) -> "Landmarks":
        """Return the same landmarks as they are seen in another picture [1, 3, R, R] of the same face."""
        other = copy.copy(self)
        other.seen = self._look(face) if len(self.on) else self.seen
        return other

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
        latent, whole = render.latent, render.generator
        small = whole if latent.delta else half_of(whole)
        noise = {name: level.to(whole.w_avg.device) for name, level in latent.noise.items()}
        self.noise = {"noise": noise} if noise else {}
        drawn = style_layers(small) if latent.styles else {}
        styles = {name: step for name, step in latent.styles.items() if name in drawn}
        self.synthesis = tuned_synthesis(small, latent.delta, styles)  # corrected features are the photo's detail
        self.name, self.layer = feature_layer(whole)
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
