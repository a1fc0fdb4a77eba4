import numpy as np
import torch
from torch.testing import assert_close

from inversion.faces.creases import AMOUNT, BOUND, crease_light
from inversion.faces.flow import FLOW_SIDE


def landmarks():
    points = np.full((68, 2), 0.5)
    points[36:42], points[42:48] = [0.35, 0.4], [0.65, 0.4]
    points[48:68] = [0.5, 0.7]
    points[48], points[54] = [0.4, 0.7], [0.6, 0.7]
    return points


def spot(x, y, value=0.1, radius=0.04):
    steps = (torch.arange(FLOW_SIDE) + 0.5) / FLOW_SIDE
    distance = (steps[None] - x) ** 2 + (steps[:, None] - y) ** 2
    return (value * (-distance / radius**2).exp()).expand(1, 3, -1, -1)


def at(image, x, y):
    return float(image[0, 0, int(y * FLOW_SIDE), int(x * FLOW_SIDE)])


def test_a_shadow_on_the_cheek_is_taken_in_part_and_keeps_its_sign():
    for sign in (1, -1):
        light = crease_light(spot(0.28, 0.62, sign * 0.1), landmarks())
        assert 0.2 * 0.1 < sign * at(light, 0.28, 0.62) < AMOUNT * 0.1


def test_lips_teeth_eyes_and_brow_keep_their_light():
    for x, y in ((0.5, 0.7), (0.44, 0.72), (0.35, 0.39), (0.5, 0.3)):
        assert at(crease_light(spot(x, y), landmarks()), x, y) == 0


def test_light_that_is_the_same_all_over_is_no_fold_and_colour_is_none():
    plain = torch.full((1, 3, FLOW_SIDE, FLOW_SIDE), 0.3)
    assert_close(crease_light(plain, landmarks()), torch.zeros(1, 1, FLOW_SIDE, FLOW_SIDE))
    colour = spot(0.28, 0.62) * torch.tensor([1.0, 0.0, -1.0])[:, None, None]
    assert crease_light(colour, landmarks()).abs().max() < 1e-6


def test_no_fold_is_deeper_than_the_bound():
    assert crease_light(spot(0.28, 0.62, 5.0), landmarks()).abs().max() <= AMOUNT * BOUND
