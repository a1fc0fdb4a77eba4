"""Set what is measured on a face: go along the dials of its generator until the measures have the values asked for."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from editing.dials import DialTable, find_dials
from editing.expression import move
from editing.judging import as_face
from editing.operations.render import Render
from inversion.faces.judges import identity_descriptor
from inversion.faces.landmarks import find_landmarks
from inversion.faces.measures import MEASURES, measure_all
from stylegan_core.networks.protocol import Alignment, Generator
from stylegan_core.styles import IMAGE_LAYER, split_styles, style_layers

ROUNDS = 10  # renders at most on the way
CLOSE = 0.4  # of a measure's tolerance: a value is met when it is this close
HELD = 0.15  # weight of the measures that were not asked for, which shall stay
EFFORT = 0.02  # weight of the step's own length, in standard deviations of W
DEARER, EASIER = 2.0, 0.5  # at the identity ceiling: how much more a step's length counts from then on, others less
LONGEST = 2.0  # of one round, in standard deviations of W
PERSON = 0.15  # identity distance that a step of one standard deviation of W comes to, on average
FINEST = 64  # pixels of a layer: finer ones draw skin and light, not where eyes and mouths are
SHORTER, BACK_OFF = 0.85, 12  # a step that changes the person too much is made shorter by this, so often at most


@dataclass(frozen=True)
class Reached:
    """Where the measures got."""

    ws: Tensor  # [1, num_ws, w_dim]
    styles: dict[str, Tensor]  # and a step in style space beside it; empty where the dials have none
    before: dict[str, float]  # all measures of the face before
    values: dict[str, float]  # and after
    identity: float  # distance of the recognition descriptors of the two renders
    missed: dict[str, str]  # those that are not within their tolerance, and why


@torch.no_grad()
def reach(
    render: Render, ws: Tensor, targets: Mapping[str, float], ceiling: float, dials: DialTable | None = None
) -> Reached:
    """Move ws [1, num_ws, w_dim] until the measures (names of `MEASURES`) have the values in `targets`, along `dials`
    (None: the generator's own).

    Broyden's method (1965) in the span of the generator's dials and of its directions of few channels, by the shortest
    steps: in the metric of W, and by what channels change of the person. What a measure does along each is first what
    it does on average, then what was seen on this face. The other measures are held softly. The best code that was seen
    below the identity `ceiling` is returned."""
    look = _Look(render, ws, dials or find_dials(render.generator), targets, ceiling)
    jacobian, here = look.expected.clone(), torch.zeros(look.expected.shape[1])  # [measures, dials], [dials]
    now = best = look.at(here)
    for _ in range(ROUNDS):
        if best.distance <= CLOSE:
            break
        step = look.step(jacobian, now.values, here)
        found = look.at(here + step)
        seen = found.values - now.values
        jacobian += torch.outer(seen - jacobian @ step, step) / step.square().sum().clamp_min(1e-12)  # Broyden (1965)
        now = look.within(found)
        here = now.along
        if now is not found:  # the person is as far as may be: shorter steps, and the rest of the face held less
            look.effort *= DEARER
            look.weights[look.others] *= EASIER
        best = min(best, now, key=lambda item: item.missing)
    return look.reached(best)


def layers_of_shape(generator: Generator) -> list[int]:
    """Return the layers of a code that say where things are: those up to `FINEST` pixels and half the resolution; all
    where the generator does not tell its layers."""
    limit = min(FINEST, max(8, generator.img_resolution // 2))
    layers = getattr(generator, "feature_layers", {}).values()
    num = max((layer.num_ws for layer in layers if layer.side - 2 * layer.margin <= limit), default=generator.num_ws)
    return list(range(num))


def styles_of_shape(generator: Generator) -> list[str]:
    """Return the names of the layers whose styles say where things are: those up to the same size that give no image.

    Channels of the others paint: dark lips are an open mouth to the landmark network, and to nobody else."""
    names, layers = list(style_layers(generator)), getattr(generator, "feature_layers", {})
    last = [name for name, layer in layers.items() if layer.num_ws <= len(layers_of_shape(generator))][-1:]
    end = names.index(f"{last[0]}.affine") + 1 if last else len(names)
    return [name for name in names[:end] if IMAGE_LAYER not in name]


@torch.no_grad()
def measures_of(faces: Tensor, alignment: Alignment) -> dict[str, float]:
    """Return all measures of one aligned face [1, 1 or 3, R, R] in about [-1, 1], by name."""
    row = measure_all(find_landmarks(as_face(faces), alignment))[0]
    return dict(zip(MEASURES, row.tolist(), strict=True))


@dataclass(frozen=True)
class _Found:
    along: Tensor  # [dials]
    values: Tensor  # [measures]
    identity: float
    distance: float  # of the worst measure that was asked for, in tolerances, to what can be reached of it
    missing: float  # mean square of all of those distances


class _Look:
    """Looks at what a place in the span of the dials gives."""

    def __init__(
        self, render: Render, ws: Tensor, table: DialTable, targets: Mapping[str, float], ceiling: float
    ) -> None:
        self.render, self.ws, self.table, self.targets, self.ceiling = render, ws, table, targets, ceiling
        self.alignment, self.layers = render.alignment, layers_of_shape(render.generator)
        self.asked = torch.tensor([table.names.index(name) for name in targets])
        self.tolerance = torch.tensor([MEASURES[name].tolerance for name in table.names])
        # Coordinates are steps of length 1, so that Broyden's update shares out what was seen among equals.
        scales = [table.response.diag().clamp_min(1e-12).sqrt(), table.person.clamp_min(1e-3) / PERSON]
        self.directions, self.channels = table.directions / scales[0][:, None], table.channels / scales[1][:, None]
        effects = table.effects.reshape(len(table.person), len(table.names))
        self.expected = torch.cat([table.response / scales[0][:, None], effects / scales[1][:, None]]).T
        sizes, turned = torch.linalg.eigh(table.response / torch.outer(scales[0], scales[0]))
        root = sizes.clamp_min(0).sqrt()[:, None] * turned.T
        self.root = torch.block_diag(root, torch.eye(len(table.person)))  # |root @ a| is the length of the step a
        start = as_face(render(ws))
        self.descriptor = identity_descriptor(start, self.alignment)
        self.before = self._measure(start)
        self.wanted = self.before.clone()
        self.wanted[self.asked] = torch.tensor([self._in_range(name, value) for name, value in targets.items()])
        self.weights = torch.full_like(self.before, HELD)
        self.weights[self.asked] = 1.0
        self.others = self.weights < 1
        self.effort = EFFORT

    def step(self, jacobian: Tensor, values: Tensor, here: Tensor) -> Tensor:
        """Return the step [dials] that least squares take towards what is wanted, of `LONGEST` at most."""
        scale = (self.weights / self.tolerance)[:, None]
        effort = self.effort * self.root
        left = torch.cat([scale * jacobian, effort])
        right = torch.cat([scale[:, 0] * (self.wanted - values), -effort @ here])
        step: Tensor = torch.linalg.lstsq(left, right[:, None]).solution[:, 0]
        return step * min(1.0, LONGEST / float((self.root @ step).norm().clamp_min(1e-9)))

    def codes(self, along: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the code [1, num_ws, w_dim] at a place in the span of the dials, and the step in style space there."""
        in_w, few = along.split([len(self.directions), len(self.channels)])
        direction = (in_w @ self.directions).to(self.ws)[None, None]
        moved = move(self.ws, direction, 1.0 if bool(in_w.any()) else 0.0, self.layers)
        return moved, split_styles(few @ self.channels, self.table.layers) if len(few) else {}

    def at(self, along: Tensor) -> _Found:
        """Measure the render at a place."""
        ws, styles = self.codes(along)
        image = as_face(self.render.after({"styles": styles})(ws))
        values = self._measure(image)
        person = float((identity_descriptor(image, self.alignment) - self.descriptor).norm())
        far = (values - self.wanted).abs() / self.tolerance
        return _Found(along, values, person, float(far[self.asked].max()), float(far[self.asked].square().mean()))

    def within(self, found: _Found) -> _Found:
        """Return a place under the identity ceiling: the one found, or the first on the way back from it."""
        for _ in range(BACK_OFF):
            if found.identity <= self.ceiling:
                return found
            found = self.at(SHORTER * found.along)
        return self.at(torch.zeros_like(found.along))

    def reached(self, found: _Found) -> Reached:
        """Say where a place is."""
        names, missed = self.table.names, {}
        for (name, wanted), index in zip(self.targets.items(), self.asked.tolist(), strict=True):
            if abs(float(found.values[index]) - wanted) > float(self.tolerance[index]):
                low, high = self.table.range_of(name)
                beyond = not low <= wanted <= high
                seen = MEASURES[name].told_range(low, high)
                where = f"{self.render.generator.meta.name} was seen to go from {seen}"
                held = f"beyond it the identity distance exceeds {self.ceiling:g}"
                missed[name] = (
                    where if beyond else held if found.identity > SHORTER * self.ceiling else "it moves no further"
                )
        before, after = (dict(zip(names, row.tolist(), strict=True)) for row in (self.before, found.values))
        return Reached(*self.codes(found.along), before, after, found.identity, missed)

    def _in_range(self, name: str, value: float) -> float:
        """Return the value that is nearest to the one asked for and within what the generator reaches, or beyond it no
        farther than the face is already: what is asked for in vain would keep the others from what they reach."""
        now, (low, high) = float(self.before[self.table.names.index(name)]), self.table.range_of(name)
        return min(max(float(value), min(low, now)), max(high, now))

    def _measure(self, image: Tensor) -> Tensor:
        values = measure_all(find_landmarks(image, self.alignment))[0]
        return values[[list(MEASURES).index(name) for name in self.table.names]]
