import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from small_generators import make_task, tiny
from torch.testing import assert_close

import cli
from editing.films import blend_latents
from inversion.carry import Motion, motion_of, share_kept
from inversion.codes import search_codes
from inversion.config import ProjectionConfig, VideoConfig
from inversion.correction import (
    MAX_BYTES,
    Correction,
    check_correction,
    choose_layer,
    low_rank,
    pack_correction,
    rank_of,
    unpack_correction,
)
from inversion.features import channel_std
from inversion.half_size import at_half_size
from inversion.latents import Latent, check_generator, load_latent, save_latent
from inversion.methods import settle
from inversion.project import project_task
from inversion.render import face_renderer, render_code
from inversion.tune import tune
from inversion.video import invert_frames
from stylegan_core.checkpoints.load import load_generator
from stylegan_core.errors import ConfigError, LatentError, LatentMismatchError
from stylegan_core.images import to_uint8
from stylegan_core.networks.configs import StyleGAN1Config
from stylegan_core.networks.protocol import CheckpointMeta, FeatureLayer
from stylegan_core.networks.stylegan1 import StyleGAN1Generator
from stylegan_core.networks.stylegan3 import StyleGAN3Generator


def tiny1():
    torch.manual_seed(1)
    config = StyleGAN1Config(z_dim=16, w_dim=16, img_resolution=16, mapping_layers=2, channel_base=256, channel_max=16)
    generator = StyleGAN1Generator(config).eval().requires_grad_(False)
    generator.meta = CheckpointMeta("tiny1", "test", "d" * 64)
    return generator


GENERATORS = {
    "stylegan1": tiny1,
    "stylegan2": tiny,
    "noise": lambda: tiny(use_noise=True),
    "resnet": lambda: tiny(architecture="resnet"),
    "conditional": lambda: tiny(c_dim=3),
    "stylegan3": lambda: tiny(kind=StyleGAN3Generator),
}
F = {"space": "f", "steps": 12, "f_steps": 30, "f_lr": 0.2, "f_mse": 20.0, "lambda_mse": 5.0}


def photo(num=1):
    """What no tiny generator can make."""
    return torch.rand(num, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


def render_of(generator, found, row=0):
    noise = {name: level[row, 0] for name, level in found.noise.items()}
    return face_renderer(generator, found.ws[row : row + 1], noise, None, found.corrections[row])


@pytest.fixture(scope="module")
def inverted():
    generator = tiny()
    return generator, project_task(make_task(generator, photo(2), config=F))


@pytest.mark.parametrize("kind", GENERATORS)
def test_hooks_read_and_replace_the_features_of_every_layer(kind):
    generator = GENERATORS[kind]()
    ws = generator.mapping(torch.randn(2, 16), torch.eye(3)[:2] if generator.c_dim else None)
    plain = generator.synthesis(ws)
    for name, layer in generator.feature_layers.items():
        seen = []
        hook = lambda x, seen=seen: seen.append(x) or x  # noqa: E731
        assert torch.equal(generator.synthesis(ws, hooks={name: hook}), plain)
        assert seen[0].shape == (2, layer.channels, layer.side, layer.side)
        assert not torch.equal(generator.synthesis(ws, hooks={name: lambda x: x + 1}), plain)
        later, others = ws.clone(), []
        later[:, layer.num_ws :] += 1
        generator.synthesis(later, hooks={name: lambda x, others=others: others.append(x) or x})
        assert_close(others[0], seen[0])
    with pytest.raises(LatentMismatchError, match="no feature layer"):
        generator.synthesis(ws, hooks={"b4096.conv1": lambda x: x})


@pytest.mark.parametrize("kind", GENERATORS)
def test_a_correction_brings_every_kind_of_generator_closer_than_its_codes(kind):
    generator, target = GENERATORS[kind](), photo()
    task = make_task(generator, target, config=F)
    found = project_task(task)
    noise = {"noise": found.noise} if found.noise else {}
    plain = (generator.synthesis(found.ws, **noise) - target).square().mean()
    assert (render_of(generator, found)(found.ws) - target).square().mean() < 0.9 * plain
    codes = search_codes(task)
    assert torch.equal(found.ws, codes.ws)  # the code is that of w+, so every direction means what it did


def test_a_face_s_correction_does_not_depend_on_its_neighbours(inverted):
    generator, together = inverted
    for row in range(2):
        alone = project_task(make_task(generator, photo(2)[row : row + 1], config=F))
        assert_close(alone.ws[0], together.ws[row], atol=1e-4, rtol=1e-4)
        one, other = (c.whole(alone.ws) for c in (alone.corrections[0], together.corrections[row]))
        assert_close(one, other, atol=0.05 * float(other.abs().max()), rtol=0)


def test_codes_after_the_layer_leave_a_correction_alone_and_at_the_origin_it_is_what_was_found(inverted):
    generator, found = inverted
    render, ws = render_of(generator, found), found.ws[:1]
    num = generator.feature_layers[found.corrections[0].layer].num_ws
    later = ws.clone()
    later[:, num:] += 0.5
    assert torch.equal(render.at(ws), found.corrections[0].whole(ws))
    assert torch.equal(render.at(later), found.corrections[0].whole(ws))


def test_edits_drawn_in_the_search_keep_what_an_edit_changes():
    generator, target = tiny(), photo()
    one, other = generator.mapping(torch.randn(2, 16, generator=torch.Generator().manual_seed(8))).split(1)
    missed = []
    for weight in (0.0, 4.0):
        found = project_task(make_task(generator, target, config={**F, "f_steps": 60, "f_edits": weight}))
        render, ws = render_of(generator, found), found.ws
        step = 0.25 * (one - other)
        plain = generator.synthesis(ws + step) - generator.synthesis(ws)
        missed.append((render(ws + step) - render(ws) - plain).square().mean())
    assert missed[1] < missed[0]


def test_what_a_mask_hides_has_no_say_in_codes_or_correction():
    generator, masks = tiny(), torch.ones(1, 1, 16, 16)
    masks[:, :, 8:] = 0
    target = photo()
    spoilt = target.clone()
    spoilt[:, :, 8:] = 1.0
    one, other = (project_task(make_task(generator, t, masks=masks, config=F)) for t in (target, spoilt))
    assert torch.equal(one.ws, other.ws)
    assert torch.equal(one.corrections[0].parts[0], other.corrections[0].parts[0])


@pytest.mark.parametrize("at", [5, 20, 33])
def test_interrupted_in_either_part_it_ends_bit_for_bit_as_if_it_had_not_been(tmp_path, at):
    generator = tiny()
    task = make_task(generator, photo(), config=F, state_file=tmp_path / "state")
    whole = project_task(replace(task, state_file=None))

    def stop(step, loss):
        if step == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        project_task(replace(task, progress=stop))
    taken = []
    resumed = project_task(replace(task, progress=lambda step, loss: taken.append(step)))
    assert taken[0] == at + 1
    assert torch.equal(resumed.ws, whole.ws)
    assert torch.equal(resumed.corrections[0].parts[0], whole.corrections[0].parts[0])
    assert resumed.history == whole.history
    assert list(tmp_path.iterdir()) == []


def test_a_correction_travels_in_the_latent_which_other_tools_still_read(tmp_path, inverted):
    generator, found = inverted
    ws = found.ws[:1]
    latent = Latent(ws, ws, generator=generator.meta.fingerprint, space="f", correction=found.corrections[0])
    save_latent(tmp_path / "x.npz", latent)
    loaded = load_latent(tmp_path / "x.npz")
    check_generator(loaded, generator, "x.npz")
    assert torch.equal(render_code(generator, loaded), render_of(generator, found)(ws))
    edited = loaded.edited(ws + 0.1, {})
    assert torch.equal(render_code(generator, edited, origin=True), render_code(generator, loaded))
    with np.load(tmp_path / "x.npz", allow_pickle=False) as arrays:
        assert np.array_equal(arrays["w"], ws.numpy())


@pytest.mark.parametrize(
    ("values", "layout"),
    [
        (np.zeros(4, np.float16), '{"layer": "a", "shapes": [[5, 1]]}'),
        (np.zeros(4, np.float16), '{"layer": "a", "shapes": [[-4, -1]]}'),
        (np.zeros(4, np.float16), '{"layer": "a", "shapes": [[true, 4]]}'),
        (np.zeros(4, np.float16), '{"layer": "a", "shapes": [4]}'),
        (np.zeros(4, np.float16), '{"layer": 3, "shapes": [[4, 1]]}'),
        (np.zeros(4, np.float16), '{"layer": "a", "shapes": [[2, 1], [1, 1], [1, 1]]}'),
        (np.zeros(4, np.float32), '{"layer": "a", "shapes": [[4, 1]]}'),
        (np.full(4, np.inf, np.float16), '{"layer": "a", "shapes": [[4, 1]]}'),
        (np.zeros(4, np.float16), "{"),
        (np.zeros(4, np.float16), "[" * 100_000),
    ],
)
def test_damaged_corrections_are_refused(values, layout):
    with pytest.raises(LatentError, match="damaged"):
        unpack_correction({"features": values, "features_layout": np.array(layout)}, "x.npz")


@pytest.mark.parametrize(
    ("layer", "shapes"),
    [
        ("b2.conv1", [(16, 16)]),
        ("b4.conv1", [(16, 17)]),
        ("b4.conv1", [(15, 16)]),
        ("b4.conv1", [(16, 2), (3, 16)]),
    ],
)
def test_corrections_of_another_generator_are_refused(layer, shapes, linear_generator):
    correction = Correction(layer, tuple(torch.zeros(shape).half() for shape in shapes))
    for generator in (tiny(), linear_generator):
        with pytest.raises(LatentMismatchError, match="do not fit"):
            check_correction(correction, generator, "x.npz")


def test_a_large_generator_s_correction_is_stored_in_factors_within_its_size():
    layer = FeatureLayer(512, 32, 7)
    flat = torch.randn(1, 512, 6) @ torch.randn(1, 6, 1024)
    factors = low_rank(flat, rank_of(layer))
    correction = Correction("b32.conv1", tuple(part[0].half() for part in factors))
    assert correction.num_bytes <= MAX_BYTES
    assert_close(factors[0] @ factors[1], flat, atol=1e-3, rtol=1e-3)
    again = unpack_correction(pack_correction(correction), "x.npz")
    assert all(torch.equal(one, other) for one, other in zip(again.parts, correction.parts, strict=True))
    assert rank_of(FeatureLayer(64, 32, 7)) == 64


def test_motion_carries_a_picture_to_where_it_went_and_fades_what_is_new():
    places = torch.linspace(-1, 1, 64)
    y, x = torch.meshgrid(places, places, indexing="ij")

    def blob(dx, extra=0.0):
        face = (-((x - dx) ** 2 + y**2) / 0.1).exp() * (1 + 0.3 * torch.sin(9 * (x - dx)) * torch.cos(7 * y))
        new = extra * (-((x + 0.8) ** 2 + (y - 0.8) ** 2) / 0.01).exp()
        return (face + new - 0.5).expand(1, 3, -1, -1).contiguous()

    still = motion_of(blob(0.0), blob(0.0))
    assert_close(still.carry(blob(0.0)), blob(0.0), atol=1e-3, rtol=0)
    moved = motion_of(blob(0.0), blob(0.1, extra=1.0))
    # 0.1 of 2 is 5 % of the side, and a pixel comes from where it was before.
    assert float(moved.flow[0, 0, 64, 70]) == pytest.approx(-0.05, abs=0.012)
    inside = (slice(None), slice(None), slice(20, 44), slice(20, 44))
    error = (moved.carry(blob(0.0))[inside] - blob(0.1)[inside]).abs().mean()
    assert error < 0.35 * (blob(0.0)[inside] - blob(0.1)[inside]).abs().mean()
    assert float(moved.fade[0, 0, 115, 12]) < 0.1
    assert float(moved.fade[0, 0, 64, 64]) > 0.7


def test_detail_grows_weaker_and_stronger_as_the_renders_own_does_and_is_not_kept_where_all_is_new():
    stream = torch.Generator().manual_seed(0)
    grain = torch.randn(1, 1, 256, 256, generator=stream).expand(1, 3, -1, -1)
    light = torch.linspace(-0.5, 0.5, 256).expand(1, 3, 256, 256)
    before = light + 0.05 * grain
    inside = (slice(None), slice(None), slice(32, 224), slice(32, 224))

    def detail_left(strength):
        fine = motion_of(before, light + strength * grain).carry(before) - light
        return float((fine[inside] * grain[inside]).sum() / grain[inside].square().sum() / 0.05)

    assert detail_left(0.05) == pytest.approx(1, abs=0.02)
    assert 0.3 <= detail_left(0.043) < 0.75 < detail_left(0.0495) < 1 < detail_left(0.053) < detail_left(0.06) <= 1.2
    replaced = before.clone()
    replaced[:, :, 96:160, 96:160] = 0.9
    assert float(motion_of(before, replaced).fine[0, 0, 128, 128]) < 0.01


def test_margins_outside_the_image_move_with_it():
    side, margin = 16, 4
    flow = torch.zeros(1, 2, 128, 128)
    flow[:, 0] = 1 / 8  # one of the eight pixels inside
    features = torch.arange(side).float().expand(1, 1, side, side).contiguous()
    everything = torch.ones(1, 1, 128, 128)
    carried = Motion(flow, everything, everything).carry(features, margin)
    assert_close(carried[..., 2:-3], features[..., 2:-3] + 1, atol=1e-3, rtol=0)


def test_the_share_that_is_kept_follows_truncation_crossover_and_not_edits():
    w_avg, origin = torch.randn(16), torch.randn(1, 4, 16)
    stream = torch.Generator().manual_seed(0)
    origin = w_avg + torch.randn(1, 4, 16, generator=stream)
    away = origin - w_avg
    edit = torch.randn(1, 4, 16, generator=stream)
    edit = edit - (edit * away).sum() / away.square().sum() * away
    assert float(share_kept(origin + 2 * edit, origin, w_avg)) == pytest.approx(1)
    assert float(share_kept(w_avg + 0.45 * away, origin, w_avg)) == pytest.approx(0.5)
    assert float(share_kept(w_avg.expand(1, 4, 16), origin, w_avg)) == 0
    assert float(share_kept(w_avg - away, origin, w_avg)) == 0


def test_truncation_to_nothing_renders_the_mean_face_and_nothing_else(inverted):
    generator, found = inverted
    mean = generator.w_avg.expand(1, generator.num_ws, -1)
    assert_close(render_of(generator, found)(mean), generator.synthesis(mean))


def test_units_are_each_channel_s_std():
    generator = tiny()
    name = choose_layer(generator, 32)
    assert name == "b4.conv1"
    unit = channel_std(generator, name)
    seen = []
    ws = generator.mapping(torch.randn(400, 16, generator=torch.Generator().manual_seed(5)))
    generator.synthesis(ws, hooks={name: lambda x: seen.append(x) or x})
    assert unit.shape == (1, 16, 1, 1)
    assert_close(unit.flatten(), seen[0].std(dim=(0, 2, 3)), rtol=0.5, atol=1e-3)


def test_from_the_command_line_to_an_edit_a_truncation_and_a_film(tmp_path, astronaut_file):
    def run(*words):
        done = CliRunner().invoke(cli.main, [*map(str, words), "--generator", "faces64", "--out", str(tmp_path / "o")])
        assert done.exit_code == 0, done.output

    face = tmp_path / "o" / "astronaut" / "face0"
    run("invert", astronaut_file, "--space", "f", "--steps", 3, "--f-steps", 20)
    report = json.loads((face / "report.json").read_text())
    assert report["features"]["steps_taken"] == 20
    assert 0 < report["features"]["bytes"] <= MAX_BYTES
    latent = shutil.copy(face / "latent.npz", tmp_path / "a.npz")
    plain = replace(load_latent(latent), correction=None)
    save_latent(tmp_path / "b.npz", plain)
    target = np.asarray(Image.open(face / "aligned.png")).astype(float)
    inverted = np.asarray(Image.open(face / "inverted.png")).astype(float)
    run("edit", latent, "--transfer", "smile")
    run("truncate", latent, "--psi", 0.5)
    run("interpolate", latent, tmp_path / "b.npz", "--frames", 3)
    generator = load_generator("faces64")
    bare = to_uint8(render_code(generator, plain))[0].astype(float)
    assert ((inverted - target) ** 2).mean() < ((bare - target) ** 2).mean()
    run("edit", latent, "--transfer", "smile", "--strength", "0", "--paste", "none")
    edited = next((tmp_path / "o").glob("*/face0/edited.png"))
    assert np.array_equal(np.asarray(Image.open(edited)), inverted)  # strength 0 is the inversion itself


def test_between_two_corrected_faces_both_ends_are_themselves(inverted):
    generator, found = inverted
    latents = [
        Latent(ws, ws, generator=generator.meta.fingerprint, correction=correction)
        for ws, correction in zip(found.ws.split(1), found.corrections, strict=True)
    ]
    for shares, whole in (((1.0, 0.0), latents[0]), ((0.0, 1.0), latents[1])):
        blended = blend_latents(generator, latents, shares)
        assert torch.equal(render_code(generator, blended), render_code(generator, whole))
    near = blend_latents(generator, latents, (0.999, 0.001))
    assert_close(render_code(generator, near), render_code(generator, latents[0]), atol=0.15, rtol=0)
    other = replace(latents[1], correction=replace(latents[1].correction, layer="b8.conv1"))
    with pytest.raises(ConfigError, match="different layers"):
        blend_latents(generator, [latents[0], other], (0.5, 0.5))


def test_a_film_refuses_the_correction_of_a_picture(tmp_path):
    with pytest.raises(ConfigError, match="film"):
        invert_frames(make_task(tiny(), photo(2), config=F, state_file=tmp_path / "s"), VideoConfig(), "", None)


def test_what_cannot_be_corrected_is_refused(linear_generator):
    with pytest.raises(ConfigError, match="shows none"):
        project_task(make_task(linear_generator, photo(), config=F))
    generator = tiny()
    with pytest.raises(ConfigError, match="choose one"):
        tune(make_task(generator, photo(), config=F))


def test_what_the_options_leave_to_the_method_it_takes_where_it_can(linear_generator):
    generator = tiny()
    for method, space, steps, f_steps in (
        ("project", "f", 200, 50), ("hybrid", "f", 25, 50), ("tune", "w+", 100, 50), ("guess", "w+", 200, 50),
        ("reference", "w", 1000, 50),
    ):  # fmt: skip
        settled = settle(ProjectionConfig(), method, generator)
        assert (settled.space, settled.steps, settled.f_steps) == (space, steps, f_steps)
    assert settle(ProjectionConfig(steps=5), "hybrid", generator).space == "w+"
    assert settle(ProjectionConfig(space="w+"), "hybrid", generator).steps == 50
    assert settle(ProjectionConfig(steps=15, space="f"), "hybrid", generator).f_steps == 30
    weights = [ProjectionConfig(space=space).spread_weight for space in ("f", "w+", "w")]
    assert weights == [1.0, 0.1, 0.0]  # nearer to W where the correction mends what the code leaves
    assert ProjectionConfig(space="f", lambda_wplus=0.3).spread_weight == 0.3
    assert settle(ProjectionConfig(), "project", linear_generator).space == "w+"
    given = ProjectionConfig(space="f", steps=3, f_steps=9)
    assert settle(given, "hybrid", generator) == given
    found = project_task(make_task(generator, photo(), config={"space": "auto"}))
    assert len(found.corrections) == 1 and len(found.history[0]["f_loss"]) == 20


def test_the_codes_before_a_correction_are_searched_for_at_half_the_size_where_a_generator_draws_it():
    large = {"img_resolution": 256, "channel_base": 256, "channel_max": 4}
    generator = tiny(**large)
    targets = torch.rand(2, 3, 256, 256) * 2 - 1
    masks = torch.ones(2, 1, 256, 256)
    masks[0, :, 100:121, 60:91] = 0
    task = make_task(generator, targets, config=F, masks=masks)
    half = at_half_size(task)
    ws = generator.mapping(torch.randn(1, 16))
    assert half.generator.synthesis(ws).shape == half.targets[:1].shape == (1, 3, 128, 128)
    assert half.generator.meta.fingerprint == generator.meta.fingerprint
    assert_close(half.targets[1, :, 5, 7], targets[1, :, 10:12, 14:16].mean(dim=(1, 2)))
    changed = torch.where(masks == 0, torch.rand_like(targets), targets)
    again = at_half_size(replace(task, targets=changed))
    assert torch.equal(again.targets * again.masks, half.targets * half.masks)  # what is hidden has no say
    assert float(half.masks[0].sum()) == 128**2 - 11 * 16 and float(half.masks[1].min()) == 1
    for other in (tiny(**large, use_noise=True), tiny(**large, architecture="resnet"), tiny()):
        kept = make_task(other, torch.zeros(1, 3, other.img_resolution, other.img_resolution), config=F)
        assert at_half_size(kept) is kept
