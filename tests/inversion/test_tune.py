from dataclasses import replace

import numpy as np
import pytest
import torch
from small_generators import a_face, make_task, tiny
from torch.testing import assert_close

from inversion.config import TuneConfig
from inversion.delta import Delta, rank_for, size_at, synthesis_parameters, tuned_synthesis, unpack_delta
from inversion.latents import Latent, check_generator, load_latent, save_latent
from inversion.render import render_code
from inversion.tune import tune
from stylegan_core.checkpoints.assemble import fingerprint
from stylegan_core.errors import ConfigError, LatentError, LatentMismatchError
from stylegan_core.networks.stylegan3 import StyleGAN3Generator

PARTS = {
    "b8.conv1.weight": (torch.randn(16, 2).half(), torch.randn(2, 144).half()),
    "b8.conv1.bias": (torch.ones(16).half(),),
}


def tuned(generator, target, **changes):
    task = make_task(
        generator, target, config={"steps": 10, "lambda_mse": 5.0}, tune=TuneConfig(tune_steps=40, **changes)
    )
    found = tune(task)
    return found, found.deltas[0]


@pytest.mark.parametrize("kind", [{}, {"use_noise": True}, {"kind": StyleGAN3Generator}])
def test_tuning_brings_the_render_closer_and_leaves_the_generator_as_it_was(kind):
    generator = tiny(**kind)
    target = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    before = fingerprint(generator.state_dict())
    found, delta = tuned(generator, target, tune_size=0.5, tune_lr=0.03)
    noise = {"noise": {n: level[0, 0] for n, level in found.noise.items()}} if found.noise else {}
    plain = (generator.synthesis(found.ws, **noise) - target).square().mean()
    bent = (tuned_synthesis(generator, delta)(found.ws, **noise) - target).square().mean()
    assert bent < 0.9 * plain
    assert fingerprint(generator.state_dict()) == before


def test_a_large_generator_is_tuned_whole_though_edits_are_drawn_at_half_its_size():
    generator = tiny(img_resolution=256, channel_base=256, channel_max=4)
    target = a_face(generator, seed=5) + 0.2 * torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    task = make_task(
        generator, target, config={"steps": 3}, tune=TuneConfig(tune_steps=12, tune_lr=0.05, tune_size=0.5)
    )
    found = tune(task)
    delta, history = found.deltas[0], found.history[0]
    assert any(float(part.abs().max()) > 0 for name in delta.parts if "b256" in name for part in delta.parts[name][:1])
    plain = (generator.synthesis(found.ws) - target).square().mean()
    assert (tuned_synthesis(generator, delta)(found.ws) - target).square().mean() < plain
    assert [len(history[f"tune_{name}"]) for name in ("loss", "edits", "locality")] == [12, 6, 6]


def test_the_locality_term_keeps_the_change_away_from_other_codes():
    generator = tiny()
    target = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    elsewhere = generator.mapping(torch.randn(16, 16, generator=torch.Generator().manual_seed(8)))
    changes = []
    for weight in (0.0, 10.0):
        render = tuned_synthesis(generator, tuned(generator, target, tune_locality=weight)[1])
        changes.append((render(elsewhere) - generator.synthesis(elsewhere)).square().mean())
    assert changes[1] < 0.5 * changes[0]


def test_the_edits_term_keeps_what_an_edit_changes():
    generator = tiny()
    target = a_face(generator, seed=5)
    one, other = generator.mapping(torch.randn(2, 16, generator=torch.Generator().manual_seed(8))).split(1)
    missed = []
    for weight in (0.0, 3.0):
        found, delta = tuned(generator, target, tune_locality=0.0, tune_edits=weight)
        render = tuned_synthesis(generator, delta)
        edit = 0.3 * (one - other)
        plain, bent = (draw(found.ws + edit) - draw(found.ws) for draw in (generator.synthesis, render))
        missed.append((bent - plain).square().mean())
    assert missed[1] < 0.8 * missed[0]


def test_tuning_stops_at_the_threshold():
    generator = tiny()
    found, _ = tuned(generator, a_face(generator), tune_psnr=5.0)
    assert len(found.history[0]["tune_psnr"]) == 1


def test_a_delta_is_the_product_of_its_factors_added_to_the_weights():
    generator = tiny()
    ws = generator.mapping(torch.randn(2, 16))
    image = tuned_synthesis(generator, Delta(PARTS))(ws)
    left, right = (part.float() for part in PARTS["b8.conv1.weight"])
    generator.synthesis.b8.conv1.weight.data += (left @ right).reshape(16, 16, 3, 3)
    generator.synthesis.b8.conv1.bias.data += 1
    assert_close(image, generator.synthesis(ws))


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_the_stored_size_stays_within_its_share(share, faces64):
    parameters = synthesis_parameters(faces64)
    num = sum(parameter.numel() for parameter in parameters.values())
    rank = rank_for(parameters, share, num)
    assert size_at(parameters, rank) <= share * 2 * num < size_at(parameters, rank + 1)


def test_tuned_weights_travel_in_the_latent_and_are_rendered(tmp_path):
    generator = tiny()
    ws, delta = generator.mapping(torch.randn(1, 16)), Delta(PARTS)
    latent = Latent(ws, ws, generator=generator.meta.fingerprint, delta=delta)
    save_latent(tmp_path / "x.npz", latent)
    loaded = load_latent(tmp_path / "x.npz")
    check_generator(loaded, generator, "x.npz")
    assert_close(render_code(generator, loaded), tuned_synthesis(generator, delta)(ws))
    assert_close(render_code(generator, loaded.edited(ws + 1, {})), tuned_synthesis(generator, delta)(ws + 1))
    assert not torch.equal(render_code(generator, loaded), generator.synthesis(ws))


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("b8.conv7.weight", (torch.zeros(16).half(),)),
        ("b8.conv1.bias", (torch.zeros(17).half(),)),
        ("b8.conv1.weight", (torch.zeros(16, 2).half(), torch.zeros(3, 144).half())),
        ("b8.conv1.bias", (torch.zeros(16, 1).half(), torch.zeros(1, 1).half())),
    ],
)
def test_tuned_weights_of_another_generator_are_refused(name, part):
    generator = tiny()
    ws = generator.mapping(torch.randn(1, 16))
    with pytest.raises(LatentMismatchError, match="do not fit"):
        check_generator(Latent(ws, ws, delta=Delta({name: part})), generator, "x.npz")


@pytest.mark.parametrize(
    ("values", "layout"),
    [
        (np.zeros(4, np.float16), '{"a": [[5]]}'),
        (np.zeros(4, np.float16), '{"a": [[-4]]}'),
        (np.zeros(4, np.float16), '{"a": 4}'),
        (np.zeros(4, np.float32), '{"a": [[4]]}'),
        (np.full(4, np.nan, np.float16), '{"a": [[4]]}'),
        (np.zeros(4, np.float16), "{"),
    ],
)
def test_damaged_tuned_weights_are_refused(values, layout):
    with pytest.raises(LatentError, match="damaged"):
        unpack_delta({"tune": values, "tune_layout": np.array(layout)}, "x.npz")


def test_what_cannot_be_tuned_is_refused(linear_generator):
    with pytest.raises(ConfigError, match="no parameters"):
        tune(make_task(linear_generator, torch.zeros(1, 3, 16, 16)))
    generator = tiny()
    task = make_task(generator, a_face(generator))
    with pytest.raises(ConfigError, match="size"):
        tune(replace(task, tune=TuneConfig(tune_size=0.0)))
