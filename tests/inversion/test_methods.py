from dataclasses import replace

import numpy as np
import pytest
import torch
from small_generators import Pooled, a_face, make_task, tiny
from torch.testing import assert_close

from inversion.config import ProjectionConfig, TuneConfig
from inversion.delta import tuned_synthesis
from inversion.faces.judges import identity_distance
from inversion.losses import masked_squared_error
from inversion.methods import METHODS
from inversion.objective import InversionObjective, LossWeights
from inversion.project import project, project_task
from inversion.reference import image2stylegan, reference
from stylegan_core.errors import ConfigError, LatentMismatchError
from stylegan_core.networks.stylegan3 import StyleGAN3Generator
from stylegan_core.seeds import generator_for

GENERATORS = {
    "plain": {},
    "noise": {"use_noise": True},
    "conditional": {"c_dim": 3},
    "stylegan3": {"kind": StyleGAN3Generator},
}


def test_reference_equals_the_projector_s_description_in_a_plain_loop():
    generator, num_steps = tiny(), 12
    target = a_face(generator)
    found = reference(make_task(generator, target, config={"steps": num_steps, "seed": 4}))
    samples = generator.mapping(torch.randn(10_000, 16, generator=generator_for(123)))[:, 0].numpy().astype(np.float64)
    w_avg = samples.mean(axis=0)
    w_std = (((samples - w_avg) ** 2).sum() / 10_000) ** 0.5
    w = torch.tensor(w_avg, dtype=torch.float32)[None, None].requires_grad_(True)
    stream, first, second = generator_for(4), torch.zeros(16), torch.zeros(16)
    for step in range(num_steps):
        t = step / num_steps
        lr = 0.1 * (0.5 - 0.5 * np.cos(min(1, (1 - t) / 0.25) * np.pi)) * min(1, (t + 1 / num_steps) / 0.05)
        jitter = torch.randn(1, 16, generator=stream) * (w_std * 0.05 * max(0, 1 - t / 0.75) ** 2)
        image = generator.synthesis((w + jitter).repeat(1, generator.num_ws, 1))
        loss = Pooled().between(Pooled().features(image), Pooled().features(target)).sum()
        (gradient,) = torch.autograd.grad(loss, w)
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        unbiased = first / (1 - 0.9 ** (step + 1)), second / (1 - 0.999 ** (step + 1))
        w = (w - lr * unbiased[0] / (unbiased[1].sqrt() + 1e-8)).detach().requires_grad_(True)
    assert_close(found.ws[:, :1], w.detach(), atol=2e-4, rtol=1e-3)
    assert (found.ws == found.ws[:, :1]).all()


def test_reference_optimises_noise_and_throws_it_away():
    generator = tiny(use_noise=True)
    for layer in generator.synthesis.noise_layers().values():
        layer.noise_strength.fill_(0.5)
    found = reference(make_task(generator, a_face(generator), config={"steps": 6}))
    assert found.noise == {}
    assert len(found.history[0]["noise"]) == 6
    assert found.best_step == [5]


def test_image2stylegan_moves_every_value_of_wplus_by_its_learning_rate_at_first():
    generator = tiny()
    found = image2stylegan(make_task(generator, a_face(generator), config={"steps": 1}))
    step = (found.ws - generator.w_avg).abs()
    assert found.ws.shape == (1, generator.num_ws, 16)
    assert_close(step[step > 0.005], torch.full_like(step[step > 0.005], 0.01), rtol=0.01, atol=0)
    assert (step > 0.005).float().mean() > 0.9  # Adam's first step has the size of its learning rate


@pytest.mark.parametrize("name", ["project", "reference", "image2stylegan"])
def test_a_target_gets_the_same_code_at_any_place_of_a_batch(name):
    generator = tiny()
    targets = a_face(generator, num=3)
    config = {"steps": 12, "jitter": 0.3}
    together = METHODS[name].search(make_task(generator, targets, config=config))
    for row in range(3):
        alone = METHODS[name].search(make_task(generator, targets[row : row + 1], config=config))
        assert_close(together.ws[row], alone.ws[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", GENERATORS)
@pytest.mark.parametrize("name", ["project", "reference", "image2stylegan", "tune"])
def test_every_method_takes_every_kind_of_generator_and_comes_closer(name, kind):
    generator = tiny(**GENERATORS[kind])
    target = a_face(generator)
    config = {"steps": 25, "lambda_percept": 1.0, "lambda_mse": 1.0}
    found = METHODS[name].search(make_task(generator, target, config=config, tune=TuneConfig(tune_steps=4)))
    before = (generator.synthesis(generator.w_avg.expand(1, generator.num_ws, -1)) - target).square().mean()
    noise = {"noise": {n: level[0, 0] for n, level in found.noise.items()}} if found.noise else {}
    render = tuned_synthesis(generator, found.deltas[0] if name == "tune" else None)
    after = (render(found.ws, **noise) - target).square().mean()
    assert found.ws.shape == (1, generator.num_ws, generator.w_dim)
    assert after < before


def test_baselines_refuse_masks_and_other_sizes():
    generator = tiny()
    with pytest.raises(ConfigError, match="masks"):
        reference(make_task(generator, a_face(generator), masks=torch.ones(1, 1, 16, 16)))
    with pytest.raises(LatentMismatchError, match="renders"):
        image2stylegan(make_task(generator, torch.zeros(1, 3, 32, 32)))


def test_what_a_mask_hides_does_not_matter_bit_for_bit():
    generator = tiny()
    target, masks = a_face(generator), torch.ones(1, 1, 16, 16)
    masks[:, :, 8:] = 0
    spoilt = target.clone()
    spoilt[:, :, 8:] = torch.randn(1, 3, 8, 16)
    one, other = (project_task(make_task(generator, t, masks=masks)) for t in (target, spoilt))
    assert torch.equal(one.ws, other.ws)
    assert not torch.equal(one.ws, project_task(make_task(generator, spoilt)).ws)


def test_a_masked_inversion_reaches_the_masked_least_squares_answer(linear_generator):
    targets = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 0.3
    masks = (torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(1)) > 0.5).float()
    config = {"space": "w", "lambda_percept": 0, "lambda_mse": 1, "jitter": 0, "steps": 400, "lr": 0.2}
    found = project_task(make_task(linear_generator, targets, masks=masks, config=config))
    rows = masks.expand(1, 3, -1, -1).flatten() > 0
    expected = torch.linalg.lstsq(linear_generator.matrix.T[rows], targets.flatten()[rows][:, None]).solution.T
    assert_close(found.ws[:, 0], expected, atol=0.02, rtol=0)
    error = (linear_generator.synthesis(found.ws) - targets).square().flatten()[rows].mean()
    assert_close(masked_squared_error(linear_generator.synthesis(found.ws), targets, masks)[0], error)


@pytest.mark.parametrize("c_dim", [0, 3])
def test_a_search_in_z_gives_a_code_that_the_mapping_can_make(c_dim):
    generator = tiny(c_dim=c_dim)
    target = a_face(generator)
    config = {"space": "z", "steps": 40, "lambda_mse": 10}
    found = project_task(make_task(generator, target, config=config))
    labels = torch.eye(c_dim) if c_dim else None
    made = generator.mapping(found.z.expand(c_dim or 1, -1), labels)
    assert (made - found.ws).abs().amax(dim=(1, 2)).min() < 1e-5
    assert found.history[0]["mse"][found.best_step[0]] < 0.5 * found.history[0]["mse"][0]


def test_the_identity_term_is_the_squared_identity_distance_and_has_a_gradient(faces64):
    ws = faces64.mapping(torch.randn(2, faces64.z_dim, generator=torch.Generator().manual_seed(0)))
    alignment, start = faces64.meta.alignment, ws[:1].clone()
    images = faces64.synthesis(ws).clamp(-1, 1)
    config = ProjectionConfig(steps=1, lambda_percept=0, lambda_mse=0, lambda_wplus=0, lambda_identity=2.0, jitter=0)
    found = project(faces64, images[1:], None, config, start)
    expected = 2 * identity_distance(faces64.synthesis(start), images[1:], alignment).square()
    assert_close(found.loss, expected, rtol=1e-4, atol=1e-5)
    same = images[:1].clone().requires_grad_(True)
    objective = InversionObjective(faces64.synthesis, LossWeights(identity=1.0), alignment=alignment)
    term = objective.compare(same, objective.target(images[:1]))["identity"]
    (gradient,) = torch.autograd.grad(term.sum(), same)
    assert torch.isfinite(gradient).all()  # the plain distance has none where it is 0


def test_the_identity_term_needs_colour():
    generator = tiny(img_channels=1)
    with pytest.raises(ConfigError, match="colour"):
        project_task(make_task(generator, a_face(generator), config={"lambda_identity": 1.0}))


class Interruption:
    """A progress callback that interrupts after `at` calls."""

    def __init__(self, at):
        self.left = at

    def __call__(self, step, loss):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("name", ["project", "reference", "image2stylegan", "tune"])
@pytest.mark.parametrize("at", [1, 7, 18])
def test_an_interrupted_search_goes_on_bit_for_bit(tmp_path, name, at):
    generator = tiny(use_noise=True)
    task = make_task(generator, a_face(generator), config={"steps": 10, "jitter": 0.3})
    task = replace(task, tune=replace(task.tune, tune_steps=10), state_file=tmp_path / "state.safetensors")
    whole = METHODS[name].search(replace(task, state_file=None))
    taken = []
    try:
        METHODS[name].search(replace(task, progress=Interruption(at)))
    except KeyboardInterrupt:
        assert list(tmp_path.iterdir())
    resumed = METHODS[name].search(replace(task, progress=lambda step, loss: taken.append(step)))
    assert torch.equal(whole.ws, resumed.ws)
    assert whole.history == resumed.history
    assert all(torch.equal(whole.noise[n], level) for n, level in resumed.noise.items())
    for one, other in zip(whole.deltas, resumed.deltas, strict=True):
        pairs = ((a, b) for n in one.parts for a, b in zip(one.parts[n], other.parts[n], strict=True))
        assert all(torch.equal(a, b) for a, b in pairs)
    total = 20 if name == "tune" else 10
    assert len(taken) == (total - at if at < total else total)
    assert list(tmp_path.iterdir()) == []


def test_the_state_of_another_task_and_a_damaged_one_are_not_taken_over(tmp_path):
    generator, path = tiny(), tmp_path / "state.safetensors"
    task = replace(make_task(generator, a_face(generator)), state_file=path)
    with pytest.raises(KeyboardInterrupt):
        project_task(replace(task, progress=Interruption(5)))
    other = replace(task, targets=a_face(generator, seed=9))
    assert torch.equal(project_task(other).ws, project_task(replace(other, state_file=None)).ws)
    path.write_bytes(b"nonsense")
    assert torch.equal(project_task(task).ws, project_task(replace(task, state_file=None)).ws)


@pytest.mark.parametrize("kind", GENERATORS)
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize("method", ["project", "tune", "reference", "image2stylegan"])
def test_sixteen_bits_find_about_the_same_codes(kind, method, precision):
    generator = tiny(**GENERATORS[kind])
    target = a_face(generator)
    whole, short = (
        METHODS[method].search(
            make_task(generator, target, config={"steps": 10, "precision": name}, tune=TuneConfig(tune_steps=10))
        )
        for name in ("float32", precision)
    )
    assert whole.history != short.history
    assert short.ws.dtype == torch.float32
    change = (whole.ws - generator.w_avg).norm()
    assert (whole.ws - short.ws).norm() < 0.25 * change
    assert float(short.loss) == pytest.approx(float(whole.loss), rel=0.15)


def test_an_unknown_precision_is_refused():
    with pytest.raises(ConfigError, match="float32, float16, bfloat16"):
        project_task(make_task(tiny(), a_face(tiny()), config={"precision": "float8"}))
