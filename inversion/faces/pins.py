"""Places of a face that a paste by motion takes exactly where they are to go, beside its landmarks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from inversion.faces.motion import Points, thin_plate, with_resting_border

SAME = 0.015  # of the face: a landmark so near to a pin is the same place, and gives way to it
REACH = 0.05  # of the face, over which what a pin adds fades around it


@dataclass(frozen=True)
class Pins:
    """How much farther than its landmarks take them some places of a face go, in units of the face."""

    places: Points  # [P, 2] before the edit
    rest: Points  # [P, 2]

    def bent(self, points: Points, moved: Points) -> Points:
        """Return the motion `moved` [68, 2] of landmarks `points` [68, 2] with what the pins add near them."""
        reach = _kernel(self.places, self.places) + 1e-6 * np.eye(len(self.places))
        bent: Points = moved + _kernel(points, self.places) @ np.linalg.solve(reach, self.rest)
        return bent

    def among(self, points: Points, moved: Points) -> tuple[Points, Points]:
        """Return points and their motion, both [N, 2], that take the pins where they are to go, for `dense_motion`."""
        whole = taken_along(points, moved, self.places) + self.rest
        far = np.linalg.norm(points[:, None] - self.places[None], axis=2).min(axis=1) > SAME
        return np.concatenate([points[far], self.places]), np.concatenate([self.bent(points, moved)[far], whole])


def taken_along(points: Points, moved: Points, places: Points) -> Points:
    """Return how far `places` [P, 2] move when landmarks `points` [N, 2] move by `moved` [N, 2]."""
    controls, values = with_resting_border(points, moved)
    return thin_plate(controls, values, places, 0.0)


def joined(pins: Sequence[Pins]) -> Pins | None:
    """Return all pins together; None where there are none. Of two at one place the sum is what they add."""
    places: list[Points] = []
    rest: list[Points] = []
    for place, step in ((place, step) for one in pins for place, step in zip(one.places, one.rest, strict=True)):
        near = [index for index, other in enumerate(places) if np.linalg.norm(other - place) < SAME / 3]
        if near:
            rest[near[0]] = rest[near[0]] + step
        else:
            places.append(place)
            rest.append(step)
    return Pins(np.array(places), np.array(rest)) if places else None


def _kernel(one: Points, other: Points) -> Points:
    squared = np.square(one[:, None] - other[None]).sum(axis=-1)
    result: Points = np.exp(-squared / (2 * REACH**2))
    return result
