from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from safetensors.torch import load_file, save_file
from small_generators import Pooled, a_face, make_task, tiny
from torch.testing import assert_close

import cli
from inversion.config import EncoderConfig, InvertConfig, ProjectionConfig
from inversion.curvature import DAMPING, PROBES_A_STEP, Probing, conditioned, curvature_in_w
from inversion.encoder import Encoder, EncoderShape, find_encoder, guess_codes, guess_w, save_encoder
from inversion.invert import Inverter
from inversion.methods import METHODS
from inversion.project import project_task
from inversion.state import run_steps
from inversion.statistics import w_statistics
from inversion.train_encoder import OUTPUT_SCALE, _EncoderTraining, ridge, start_encoder, train_encoder, varied
from stylegan_core.assets import asset_path
from stylegan_core.checkpoints.native import save_generator
from stylegan_core.console import Console
from stylegan_core.errors import CheckpointError, ConfigError, DatasetError, LatentMismatchError
from stylegan_core.images import Photo, read_photo
from stylegan_core.networks.stylegan3 import StyleGAN3Generator
from stylegan_core.ops.resample import resized

FAST = EncoderConfig(samples=64, probes=32, steps=6, batch=4)


def measured(generator, num_probes, lambda_mse=50.0):
    """The curvature of the squared error alone."""
    search = Probing(generator, None, ProjectionConfig(lambda_percept=0, lambda_mse=lambda_mse))
    run_steps(search, -(-num_probes // PROBES_A_STEP))
    return search.curvature()


def test_ridge_equals_the_normal_equations():
    stream = torch.Generator().manual_seed(0)
    x, true = torch.randn(50, 6, generator=stream).double(), torch.randn(6, 3, generator=stream).double()
    y = x @ true + 0.1 * torch.randn(50, 3, generator=stream).double()
    mean, projection, shift = ridge(x, y, [0.01])
    centred, variance = x[:45] - x[:45].mean(0), torch.linalg.svdvals(x[:45] - x[:45].mean(0)).square().mean()
    expected = torch.linalg.solve(
        centred.T @ centred + 0.01 * variance * torch.eye(6), centred.T @ (y[:45] - y[:45].mean(0))
    )
    assert_close(projection, expected)
    assert_close(mean, x[:45].mean(0))
    assert_close(shift, y[:45].mean(0))


def test_ridge_takes_the_strength_that_does_best_on_held_out_rows():
    x = torch.randn(400, 5, generator=torch.Generator().manual_seed(0))
    y = x @ torch.randn(5, 2, generator=torch.Generator().manual_seed(1))
    assert_close(ridge(x, y, [1e-6, 1e3])[1], ridge(x, y, [1e-6])[1])


@pytest.mark.parametrize("changes", [{}, {"c_dim": 3}, {"kind": StyleGAN3Generator}, {"img_channels": 1}])
def test_an_encoder_is_trained_for_any_generator_and_beats_the_mean_face(tmp_path, monkeypatch, changes):
    generator = tiny(**changes)
    monkeypatch.setattr("inversion.train_encoder.load_generator", lambda name, device: generator)
    monkeypatch.setattr("inversion.train_encoder.load_perceptual", lambda name, device: Pooled())
    train_encoder(str(tmp_path / "e.safetensors"), "tiny", "auto", "cpu", FAST, Console(quiet=True))
    targets = a_face(generator, seed=11, num=6)
    guess = guess_codes(generator, targets, str(tmp_path / "e.safetensors"))
    assert guess.shape == (6, generator.num_ws, generator.w_dim)
    mean = generator.synthesis(generator.w_avg.expand(1, generator.num_ws, -1))
    assert (generator.synthesis(guess) - targets).square().mean() < 0.8 * (mean - targets).square().mean()
    assert [path.name for path in tmp_path.iterdir()] == ["e.safetensors"]


def test_an_untrained_encoder_is_its_linear_part():
    encoder = Encoder(EncoderShape(img_channels=3, w_dim=5, num_ws=4, linear_side=8, hidden=6))
    encoder.projection.normal_()
    encoder.mean.normal_()
    encoder.shift.normal_()
    images = torch.randn(2, 3, 8, 8)
    expected = (images.flatten(1) - encoder.mean) @ encoder.projection + encoder.shift
    assert_close(encoder(images), expected[:, None].expand(-1, 4, -1))


def test_the_shipped_linear_encoder_still_guesses_what_its_matrices_say(faces64):
    matrices = load_file(asset_path("faces64_linear_encoder.safetensors"))
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    mean, projection, shift = (matrices[name].float() for name in ("mean", "projection", "shift"))
    expected = (resized(images, 32).flatten(1) - mean) @ projection + shift
    assert_close(guess_codes(faces64, images)[:, 0], expected, atol=1e-4, rtol=1e-4)


def test_the_shipped_network_guesses_a_stranger_better_than_the_linear_part(astronaut_file):
    inverter = Inverter(InvertConfig(generator="faces256", device="cpu"))
    (face,) = inverter.align(read_photo(astronaut_file))
    network = find_encoder(inverter.generator).network
    with torch.no_grad():
        guess, linear = network(face.target), network.linear(face.target)[:, None].expand(-1, network.shape.num_ws, -1)
        errors = [(inverter.generator.synthesis(ws) - face.target).square().mean() for ws in (guess, linear)]
    assert errors[0] < 0.9 * errors[1]
    assert not torch.equal(guess[:, 0], guess[:, 5])  # in W+
    assert_close(guess_w(inverter.generator, face.target), guess.mean(dim=1))  # in W


def test_the_shipped_curvature_is_that_of_the_default_generator(faces64):
    """Along the stored directions the loss bends as much as their eigenvalues say."""
    curvature = find_encoder(faces64).curvature
    directions, values = curvature["directions"], curvature["values"]
    assert_close(directions @ directions.T, torch.eye(len(directions)), atol=0.02, rtol=0)
    assert (values[:-1] >= values[1:]).all()
    images = torch.zeros(1, 3, 64, 64)
    w_std = w_statistics(faces64)[1]
    ws = guess_codes(faces64, images)
    steps = (directions[[0, 200]].unflatten(1, (faces64.num_ws, -1)) * w_std) * 0.05
    change = (faces64.synthesis(ws + steps) - faces64.synthesis(ws)).square().mean(dim=(1, 2, 3))
    assert change[0] > 5 * change[1]  # steep against flat


def test_an_encoder_of_another_generator_and_other_files_are_refused(tmp_path):
    shape = EncoderShape(img_channels=3, w_dim=16, num_ws=6, linear_side=8, hidden=6)
    save_encoder(tmp_path / "e.safetensors", Encoder(shape), "a" * 64, {}, {})
    with pytest.raises(LatentMismatchError, match="another generator"):
        find_encoder(tiny(), str(tmp_path / "e.safetensors"))
    save_file({"x": torch.zeros(1)}, tmp_path / "f.safetensors", {"generator": "a"})
    with pytest.raises(CheckpointError, match="not an encoder"):
        find_encoder(tiny(), str(tmp_path / "f.safetensors"))
    with pytest.raises(CheckpointError):
        find_encoder(tiny(), str(tmp_path / "missing.safetensors"))


def test_what_was_trained_is_what_is_saved():
    """The last layer leaves the conditioned coordinates of its training."""
    generator = tiny()
    config = replace(FAST, batch=2)
    curvature = measured(generator, 64)
    training = _EncoderTraining(generator, Pooled(), start_encoder(generator, config), curvature, None, config)
    training.step(3)
    images = a_face(generator, seed=3, num=2)
    with torch.no_grad():
        offsets = conditioned(training.network.raw_offsets(images) * OUTPUT_SCALE, curvature)
        expected = training.network.placed(images, offsets)
        assert offsets.abs().max() > 0
        assert_close(training.trained()(images), expected, atol=1e-5, rtol=1e-4)


def test_variations_are_small_and_from_their_stream():
    images = (torch.linspace(-1, 1, 32).expand(64, 3, 32, 32) * 0.8).contiguous()
    streams = [torch.Generator().manual_seed(seed) for seed in (0, 0, 1)]
    one, same, other = (varied(images, stream) for stream in streams)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert one.shape == images.shape
    assert one.abs().max() <= 1
    mirrored = (one[:, :, :, :8].mean(dim=(1, 2, 3)) > one[:, :, :, -8:].mean(dim=(1, 2, 3))).sum()
    assert 16 < mirrored < 48
    upright = torch.minimum((one - images).abs().mean(dim=(1, 2, 3)), (one - images.flip(3)).abs().mean(dim=(1, 2, 3)))
    assert 0.02 < upright.mean() < 0.2


def test_persons_left_out_are_not_seen(tmp_path, monkeypatch):
    generator = tiny()
    monkeypatch.setattr("inversion.train_encoder.load_generator", lambda name, device: generator)
    monkeypatch.setattr("inversion.train_encoder.load_perceptual", lambda name, device: Pooled())
    side = generator.img_resolution
    for name in ("a", "b", "c"):
        Image.new("RGB", (side, side)).save(tmp_path / f"{name}.png")
    (tmp_path / "attributes.csv").write_text("file,person\na.png,p1\nb.png,p2\nc.png,p2\n")
    config = replace(FAST, data=str(tmp_path), exclude="p2", steps=1, holdout=0)
    seen = []
    monkeypatch.setattr(_EncoderTraining, "scores", lambda self: seen.append(self.data.files.names) or {})
    train_encoder(str(tmp_path / "e.safetensors"), "tiny", "auto", "cpu", config, Console(quiet=True))
    assert seen == [["a.png"]]
    for changes, error, reason in (
        ({"exclude": "p9"}, DatasetError, "none of the persons"),
        ({"batch": 1}, ConfigError, "--batch 1"),
        ({"holdout": 1}, ConfigError, "--holdout 1"),
    ):
        with pytest.raises(error, match=reason):
            wrong = replace(config, **changes)
            train_encoder(str(tmp_path / "e.safetensors"), "tiny", "auto", "cpu", wrong, Console(quiet=True))


@pytest.mark.parametrize("label", ["encoder", "curvature"])
def test_interrupted_training_goes_on_bit_for_bit(tmp_path, monkeypatch, label):
    generator = tiny()
    monkeypatch.setattr("inversion.train_encoder.load_generator", lambda name, device: generator)
    monkeypatch.setattr("inversion.train_encoder.load_perceptual", lambda name, device: Pooled())

    class Stopping(Console):
        def progress(self, name, total):
            from contextlib import nullcontext

            def update(step, loss):
                if name == label and step == (3 if label == "encoder" else 1) and not stopped:
                    stopped.append(step)
                    raise KeyboardInterrupt

            return nullcontext(update)

    stopped = [0]
    train_encoder(str(tmp_path / "a.safetensors"), "tiny", "auto", "cpu", FAST, Stopping(quiet=True))
    stopped.clear()
    with pytest.raises(KeyboardInterrupt):
        train_encoder(str(tmp_path / "b.safetensors"), "tiny", "auto", "cpu", FAST, Stopping(quiet=True))
    assert not (tmp_path / "b.safetensors").exists()
    train_encoder(str(tmp_path / "b.safetensors"), "tiny", "auto", "cpu", FAST, Stopping(quiet=True))
    one, other = (load_file(tmp_path / name) for name in ("a.safetensors", "b.safetensors"))
    assert all(torch.equal(one[name], other[name]) for name in one | other)


def test_the_measured_curvature_is_the_gauss_newton_matrix(linear_generator):
    """For a linear generator the loss's Hessian is known: it is the same matrix everywhere."""
    found = measured(linear_generator, 3000, lambda_mse=3.0)
    full = found["directions"].T @ torch.diag(found["values"]) @ found["directions"]
    jacobian = (linear_generator.matrix / linear_generator.num_ws).repeat(4, 1)  # [num_ws * w_dim, pixels]
    expected = 2 * 3.0 / linear_generator.matrix.shape[1] * jacobian @ jacobian.T
    assert (full - expected).norm() < 0.15 * expected.norm()
    in_w = curvature_in_w(found, linear_generator.num_ws)
    matrix = in_w["directions"].T @ torch.diag(in_w["values"]) @ in_w["directions"]
    true = 2 * 3.0 / linear_generator.matrix.shape[1] * linear_generator.matrix @ linear_generator.matrix.T
    assert (matrix - true).norm() < 0.15 * true.norm()


def test_conditioning_is_the_inverse_root_of_the_damped_matrix():
    directions = torch.linalg.qr(torch.randn(10, 4))[0].T.contiguous()
    values = torch.tensor([5.0, 3.0, 0.5, 0.1])
    mu = DAMPING * 5.0
    matrix = directions.T @ torch.diag(values) @ directions + mu * torch.eye(10)
    rows = torch.randn(3, 10)
    twice = conditioned(conditioned(rows, {"directions": directions, "values": values}), {
        "directions": directions, "values": values
    })  # fmt: skip
    assert_close(twice @ matrix, rows, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("space", ["w+", "w"])
def test_a_search_that_knows_the_curvature_gets_further_in_as_many_steps(linear_generator, space):
    stream = torch.Generator().manual_seed(0)
    turn = torch.linalg.qr(torch.randn(12, 12, generator=stream))[0]  # so that no axis is a direction of curvature
    linear_generator.matrix = turn @ torch.diag(torch.logspace(0, -1.5, 12)) @ linear_generator.matrix
    target = linear_generator.synthesis(linear_generator.w_avg + 2 * torch.randn(1, 4, 12, generator=stream))
    config = {"steps": 40, "space": space, "jitter": 0.0, "lambda_wplus": 0.0, "lambda_percept": 0.0}
    curvature = measured(linear_generator, 512)
    task = make_task(linear_generator, target, config=config)
    plain, informed = (project_task(replace(task, curvature=known)) for known in (None, curvature))
    assert informed.loss < 0.5 * plain.loss
    with pytest.raises(LatentMismatchError, match="curvature"):
        project_task(replace(task, curvature={"directions": torch.zeros(2, 7), "values": torch.zeros(2)}))


def test_an_interrupted_search_that_knows_the_curvature_goes_on_bit_for_bit(linear_generator, tmp_path):
    targets = linear_generator.synthesis(torch.randn(2, 4, 12, generator=torch.Generator().manual_seed(1)))
    curvature = measured(linear_generator, 64)
    task = make_task(linear_generator, targets, config={"steps": 12, "lambda_percept": 0.0}, curvature=curvature)
    whole, alone = project_task(task), project_task(replace(task, targets=targets[1:]))
    # Line searches multiply the products' float error, and where the image is flat nothing holds the code.
    images = [linear_generator.synthesis(ws) for ws in (alone.ws, whole.ws[1:])]
    start = linear_generator.synthesis(linear_generator.w_avg.expand(1, 4, -1))
    assert (images[0] - images[1]).norm() < 0.01 * (start - targets[1:]).norm()

    def interrupt(step, loss):
        if step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        project_task(replace(task, progress=interrupt, state_file=tmp_path / "state"))
    taken = []
    resumed = project_task(replace(task, progress=lambda step, _: taken.append(step), state_file=tmp_path / "state"))
    assert taken[0] == 6
    assert torch.equal(whole.ws, resumed.ws)


def test_hybrid_needs_an_encoder_and_says_how_to_get_one(tmp_path):
    save_generator(tmp_path / "g.safetensors", tiny())
    config = InvertConfig(generator=str(tmp_path / "g.safetensors"), method="hybrid", align=False)
    with pytest.raises(ConfigError, match="encoder train"):
        Inverter(config, perceptual=Pooled())
    inverter = Inverter(replace(config, method="project", start="encoder"), perceptual=Pooled())
    with pytest.raises(ConfigError, match="encoder train"):
        inverter.invert_faces([a_job(inverter)])


def a_job(inverter):
    side = inverter.generator.img_resolution
    rgb = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    photo = Photo(rgb, Path("a.png"), "0" * 64)
    return photo, inverter.align(photo)[0]


@pytest.mark.parametrize(
    ("method", "start", "is_guess", "taken", "rule"),
    [
        ("auto", "auto", True, "hybrid", "l-bfgs"),
        ("hybrid", "w_avg", False, "hybrid", "l-bfgs"),
        ("project", "auto", False, "project", "adam"),
        ("project", "encoder", True, "project", "adam"),
        ("tune", "auto", True, "tune", "l-bfgs"),
    ],
)
def test_a_method_takes_from_the_encoder_what_it_says(faces64, monkeypatch, method, start, is_guess, taken, rule):
    tasks = []

    def record(task):
        tasks.append(task)
        return project_task(task)

    for name in ("project", "hybrid", "tune"):
        monkeypatch.setitem(METHODS, name, replace(METHODS[name], run=record))
    config, steps = InvertConfig(method=method, start=start, align=False), ProjectionConfig(steps=0)
    inverter = Inverter(config, steps, generator=faces64, perceptual=Pooled())
    job = a_job(inverter)
    report = inverter.invert_faces([job])[0].latent.report
    assert report["method"] == taken
    assert (tasks[0].curvature is not None) == (rule == "l-bfgs")
    if is_guess:
        assert_close(tasks[0].start, guess_codes(faces64, job[1].target))
    else:
        assert tasks[0].start is None


def test_without_an_encoder_auto_is_project_and_with_one_that_is_named_it_starts_there(tmp_path):
    generator = tiny()
    assert Inverter(InvertConfig(), generator=generator, perceptual=Pooled()).method == "project"
    file = str(tmp_path / "e.safetensors")
    save_encoder(file, Encoder(EncoderShape(3, 16, generator.num_ws, 4)), generator.meta.fingerprint, {}, {})
    for method, taken in (("auto", "hybrid"), ("project", "project")):
        config = InvertConfig(method=method, encoder=file, align=False)
        inverter = Inverter(config, ProjectionConfig(steps=1), generator=generator, perceptual=Pooled())
        report = inverter.invert_faces([a_job(inverter)])[0].latent.report
        assert (report["method"], report["start"]) == (taken, "encoder")


def test_the_command_trains_an_encoder_that_invert_takes(tmp_path, astronaut_file):
    out = tmp_path / "e.safetensors"
    words = ["encoder", "train", "--out", str(out), "--steps", "1", "--samples", "32", "--probes", "16"]
    assert CliRunner().invoke(cli.main, words).exit_code == 0
    words = ["invert", str(astronaut_file), "--method", "hybrid", "--encoder", str(out), "--steps", "3"]
    result = CliRunner().invoke(cli.main, [*words, "--out", str(tmp_path / "o")])
    assert result.exit_code == 0, result.output
    assert "after 3 steps" in result.output
