"""Watching a search: the codes on the way, and that looking changes nothing."""

from dataclasses import replace

import pytest
import torch
from small_generators import a_face, make_task, tiny

from inversion.config import TuneConfig
from inversion.methods import METHODS


@pytest.mark.parametrize(
    "name", [name for name in METHODS if name not in ("hybrid", "guess")]
)  # no search of their own
def test_a_preview_sees_the_codes_of_every_step_and_changes_nothing(name):
    generator, seen, loud = tiny(), [], []
    quiet = make_task(generator, a_face(generator, num=2), config={"steps": 6}, tune=TuneConfig(tune_steps=2))
    watched = replace(
        quiet,
        preview=lambda step, ws: seen.append((step, ws.clone())),
        progress=lambda step, loss: loud.append(step),
    )
    result, expected = METHODS[name].search(watched), METHODS[name].search(quiet)
    assert torch.equal(result.ws, expected.ws)
    searching = seen[:6]
    assert [step for step, _ in searching] == loud[:6] == [1, 2, 3, 4, 5, 6]
    assert all(ws.shape[-2:] == (generator.num_ws, generator.w_dim) for _, ws in seen)
    assert not torch.equal(searching[0][1], searching[-1][1])
    assert torch.equal(searching[-1][1], result.ws)
