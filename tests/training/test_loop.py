import json
import math

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from stylegan_core.checkpoints import load_checkpoint, load_generator
from stylegan_core.errors import ConfigError, DatasetError, OutputError, TrainingError
from stylegan_core.locking import locked
from stylegan_core.training import loop, report
from stylegan_core.training.dataset import ImageDataset
from stylegan_core.training.distributed import World
from stylegan_core.training.game import Game
from stylegan_core.training.loop import train
from stylegan_core.training.randomness import Shard, Stream
from stylegan_core.training.start import build_models
from stylegan_core.training.state import STATE_FILE
from stylegan_core.training.steps import Stepper


def tensors_of(config):
    return load_file(f"{config.out}/{STATE_FILE}")


def assert_same(first, second):
    assert first.keys() == second.keys()
    different = [name for name in first if not torch.equal(first[name], second[name])]
    assert not different


def test_a_run_leaves_snapshots_samples_curve_log_and_state(tiny):
    result = train(tiny)
    assert result.finished and result.cur_nimg == 48
    names = {path.name for path in result.snapshot.parent.iterdir()}
    snapshots = {f"{kind}-000000.{nimg}" for kind in ("snapshot", "samples") for nimg in ("024", "048")}
    assert snapshots <= {name.rpartition(".")[0] for name in names}  # none has overwritten another
    assert {"training-curve.png", STATE_FILE, "log.jsonl"} <= names
    generator = load_generator(result.snapshot)
    assert generator.synthesis(generator.mapping(torch.zeros(1, 8))).shape == (1, 3, 16, 16)
    assert generator.meta.training["kimg"] == 0.048
    lines = report.read_log(result.snapshot.parent / "log.jsonl")
    assert {"g", "d", "r1", "path_length", "augment_p", "r_t", "kimg"} <= set().union(*lines)
    assert all(math.isfinite(value) for line in lines for value in line.values())
    with Image.open(result.snapshot.parent / "samples-000000.048.png") as grid:
        assert grid.size == (8 * 16, 4 * 16)


def test_stopping_and_going_on_gives_the_weights_of_an_unbroken_run_bit_for_bit(tiny, change, tmp_path):
    train(tiny)
    broken = change(tiny, out=str(tmp_path / "broken"), kimg=0.024)
    assert train(broken).cur_nimg == 24
    result = train(change(broken, kimg=0.048))
    assert result.cur_nimg == 48
    assert_same(tensors_of(tiny), tensors_of(broken))
    first, second = (report.read_log(path / "log.jsonl") for path in (tmp_path / "run", tmp_path / "broken"))
    for one, other in zip(first, second, strict=True):
        assert {k: v for k, v in one.items() if k != "seconds"} == {k: v for k, v in other.items() if k != "seconds"}


def test_an_interrupt_saves_the_step_and_the_same_command_goes_on(tiny, change, tmp_path, monkeypatch):
    train(tiny)
    other = change(tiny, out=str(tmp_path / "other"))
    step, calls = loop._Run._step, []

    def interrupted(self):
        calls.append(1)
        losses = step(self)
        if len(calls) == 2:
            signal_self()
        return losses

    def signal_self():
        import os
        import signal

        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(loop._Run, "_step", interrupted)
    result = train(other)
    assert not result.finished and result.cur_nimg == 16
    assert train(other).finished
    assert_same(tensors_of(tiny), tensors_of(other))


def test_a_finished_run_does_nothing_more(tiny):
    train(tiny)
    before = tensors_of(tiny)
    assert train(tiny).finished
    assert_same(before, tensors_of(tiny))


def test_splitting_the_batch_gives_the_same_weights_within_rounding(tiny, change, tmp_path):
    whole, parts = change(tiny, kimg=0.024), change(tiny, kimg=0.024, accumulate=2, out=str(tmp_path / "parts"))
    train(whole)
    train(parts)
    first, second = tensors_of(whole), tensors_of(parts)
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=1e-3, atol=2e-4, msg=lambda m, n=name: f"{n}: {m}")


def test_other_options_in_the_same_folder_are_refused_by_name(tiny, change):
    train(tiny)
    before = tensors_of(tiny)
    with pytest.raises(TrainingError, match=r"lr_g was None, is 0\.1"):
        train(change(tiny, lr_g=0.1, kimg=1.0))
    assert_same(before, tensors_of(tiny))


def test_two_runs_in_one_folder_are_refused(tiny, tmp_path):
    with locked(tmp_path / "run"), pytest.raises(OutputError, match="another run"):
        train(tiny)


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_state(tiny, change, monkeypatch):
    train(change(tiny, kimg=0.024))
    before = tensors_of(tiny)
    monkeypatch.setattr("stylegan_core.training.game.r1_penalty", lambda logits, images, gamma: logits * math.nan)
    with pytest.raises(TrainingError, match="r1 is no longer finite"):
        train(tiny)
    assert_same(before, tensors_of(tiny))


def test_a_full_disk_is_named_and_the_last_state_stays(tiny, change, monkeypatch):
    train(change(tiny, kimg=0.024))
    before = tensors_of(tiny)

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)  # what puts every finished file in its place
    with pytest.raises(OutputError, match="No space left"):
        train(tiny)
    monkeypatch.undo()
    assert_same(before, tensors_of(tiny))


def test_training_moves_towards_the_data(tiny, change, tmp_path):
    colour = torch.tensor([0.6, -0.6, 0.2])
    (tmp_path / "red").mkdir()
    for index in range(8):
        shade = (colour * 127.5 + 127.5 + 4 * index - 14).round().to(torch.uint8).numpy()
        Image.fromarray(np.full((16, 16, 3), shade, np.uint8)).save(tmp_path / "red" / f"{index}.png")
    config = change(tiny, data=str(tmp_path / "red"), kimg=1.0, pl_every=0, r1_every=4, augment="none", lr_g=1e-2)
    result = train(change(config, lr_d=1e-2, snapshot_kimg=10.0))
    generator = load_generator(result.snapshot)
    fakes = generator.synthesis(generator.mapping(torch.randn(32, 8, generator=torch.Generator().manual_seed(0))))
    assert (fakes.mean((0, 2, 3)) - colour).abs().max() < 0.3  # a random start is about 0.6 off


def test_conditional_training_learns_from_labels(tiny, change):
    result = train(change(tiny, labels=True, kimg=0.024))
    checkpoint = load_checkpoint(result.snapshot)
    assert checkpoint.generator.c_dim == 2 and checkpoint.discriminator.c_dim == 2
    z, c = torch.zeros(2, 8), torch.eye(2)
    images = checkpoint.generator.synthesis(checkpoint.generator.mapping(z, c))
    assert not torch.equal(images[0], images[1])


def test_transfer_starts_from_the_file_and_freezes_what_it_is_told(tiny, change, tmp_path):
    source = train(tiny).snapshot
    config = change(tiny, init=str(source), out=str(tmp_path / "next"), freeze_d=1, freeze_mapping=True, kimg=0.016)
    train(config)
    before, after = load_file(source), tensors_of(config)
    frozen = [name for name in after if name.startswith(("D.b16.", "G.mapping."))]
    assert frozen
    for name in frozen:
        assert torch.equal(after[name], before[name.replace("G.", "G_ema.")]), name
    moved = [name for name in after if name.startswith(("D.b8.", "G.synthesis.")) and "noise_const" not in name]
    changed = [name for name in moved if not torch.equal(after[name], before[name.replace("G.", "G_ema.")])]
    assert len(changed) > 0.9 * len(moved)


def test_transfer_between_resolutions_is_refused(tiny, change, tmp_path):
    source = train(change(tiny, kimg=0.008)).snapshot
    with pytest.raises(TrainingError, match="img_resolution is 16, the data's 8"):
        train(change(tiny, init=str(source), resolution=8, out=str(tmp_path / "next")))


def test_history_smoothing_and_rest_train_together(tiny, change, monkeypatch):
    apart, judge = [], Game.judge

    def watched(self, images, *args, num_apart=0):
        apart.append(num_apart)
        return judge(self, images, *args, num_apart=num_apart)

    monkeypatch.setattr(Game, "judge", watched)
    config = change(tiny, history=8, real_label=0.9, adaptive_d=0.1, adaptive_g=0.1, kimg=0.016)
    assert train(config).finished
    assert sorted(apart)[-2:] == [
        0,
        4,
    ]  # once the store is full, half of a batch of 8 is old and has its own statistics
    assert tensors_of(config)["history"].shape == (8, 3, 16, 16)


def test_consistency_keeps_old_fakes_a_batch_of_their_own(tiny, change, monkeypatch):
    config = change(tiny, preset="dcgan", channel_base=128, bcr=10.0, augment="none", pl_every=0, r1_every=0)
    data = ImageDataset(config.data)
    models, _ = build_models(config, data, torch.device("cpu"))
    stepper = Stepper(config, models, data, World(), torch.device("cpu"))
    monkeypatch.setattr("stylegan_core.training.game.augment", lambda images, *_: images)
    images, labels = data.batch(range(8))
    images[4:] = -1.0  # what batch norm tells from the others
    shard, stream = Shard(0, 1), Stream(0, 0, "d", 8)
    with torch.no_grad():
        output = stepper.game.judge(images, labels, 0, "d", "augment-fake", shard, num_apart=4)
        apart = stepper.game.consistency(output, images, labels, stream, "fake", shard, num_apart=4)
        mixed = stepper.game.consistency(output, images, labels, stream, "fake", shard, num_apart=0)
    assert float(apart) < 1e-6 < float(mixed)


def test_a_network_at_rest_keeps_its_weights(tiny, change):
    config = change(tiny, adaptive_d=1e9, adaptive_g=-1e9, kimg=0.024, r1_every=1)
    train(change(config, kimg=0.008))  # the first step trains both: no loss is known
    before = tensors_of(config)
    train(config)
    after = tensors_of(config)
    assert all(torch.equal(before[name], after[name]) for name in after if name.startswith("D."))
    assert not torch.equal(before["G.synthesis.b8.conv0.weight"], after["G.synthesis.b8.conv0.weight"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"preset": "nosuch"}, "choose one of"),
        ({"batch": 0}, "must be over 0"),
        ({"batch": 9, "accumulate": 2}, "does not divide"),
        ({"objective": "ebgan", "labels": True}, "has an autoencoder for its critic"),
        ({"objective": "nosuch"}, "choose one of"),
        ({"augment_p": 1.5}, "from 0 to 1"),
        ({"augment_groups": "blur"}, "no augmentation"),
        ({"init": "x", "warm_start": "pca"}, "exclude each other"),
        ({"freeze_d": 9}, "at most"),
    ],
)
def test_options_that_make_no_sense_are_refused_before_anything_is_written(changes, message, tiny, change, tmp_path):
    with pytest.raises(ConfigError, match=message):
        train(change(tiny, **changes))
    assert not (tmp_path / "run" / STATE_FILE).exists()


def test_one_image_is_no_training_set(tiny, folder):
    for path in sorted(folder.glob("*.png"))[1:]:
        path.unlink()
    with pytest.raises(DatasetError, match="one image"):
        train(tiny)


def test_snapshots_are_scored_when_asked_and_the_log_says_so(tiny, change, monkeypatch):
    monkeypatch.setattr("stylegan_core.metrics.extractors._inception_at_hand", lambda: False)
    result = train(change(tiny, metric_samples=8, kimg=0.024))
    (line,) = [line for line in report.read_log(result.snapshot.parent / "log.jsonl") if "fd-squeezenet" in line]
    assert line["fd-squeezenet"] > 0
    assert load_generator(result.snapshot).meta.training["scores"]["fd-squeezenet"] == line["fd-squeezenet"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_gets_the_scalars_where_it_is_installed(tiny, change):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    result = train(change(tiny, tensorboard=True, kimg=0.024))
    events = EventAccumulator(str(result.snapshot.parent / "tensorboard"))
    events.Reload()
    lines = report.read_log(result.snapshot.parent / "log.jsonl")
    assert [event.value for event in events.Scalars("d")] == pytest.approx([line["d"] for line in lines])


def test_tensorboard_that_is_not_installed_is_asked_for_by_name(tiny, change, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ConfigError, match=r"invertigo\[tensorboard\]"):
        train(change(tiny, tensorboard=True))


def test_an_anchor_keeps_codes_drawing_their_images(tiny, change, tmp_path):
    from safetensors.torch import save_file

    source = train(change(tiny, kimg=0.008)).snapshot
    encoder = {"mean": torch.zeros(768), "projection": torch.randn(768, 8) * 0.01, "shift": torch.zeros(8)}
    save_file(encoder, tmp_path / "encoder.safetensors")
    config = change(tiny, init=str(source), out=str(tmp_path / "next"), anchor=str(tmp_path / "encoder.safetensors"))
    train(change(config, kimg=0.24, anchor_weight=20.0, anchor_every=1, lr_g=1e-2, pl_every=0, augment="none"))
    anchors = [line["anchor"] for line in report.read_log(tmp_path / "next" / "log.jsonl")]
    assert anchors[-1] < 0.9 * anchors[0]
    save_file(encoder | {"shift": torch.zeros(9)}, tmp_path / "other.safetensors")
    with pytest.raises(ConfigError, match=r"shift of \[8\] is expected"):
        train(change(config, anchor=str(tmp_path / "other.safetensors"), out=str(tmp_path / "other")))


def test_fakes_of_the_generators_step_can_be_used_again(tiny, change, monkeypatch):
    from stylegan_core.training.game import Game

    counts, generate = [], Game.generate
    monkeypatch.setattr(Game, "generate", lambda self, *a, **k: counts.append(1) or generate(self, *a, **k))
    train(change(tiny, kimg=0.016, pl_every=0))
    twice = len(counts)
    train(change(tiny, kimg=0.016, pl_every=0, reuse_fakes=True, out=tiny.out + "2"))
    assert twice == 4 and len(counts) - twice == 2


def test_annealing_brings_the_rates_to_zero_at_the_end(tiny, change):
    config = change(tiny, anneal=1.0, kimg=0.032, snapshot_kimg=0.024)
    train(change(config, kimg=0.024))
    assert train(change(config, kimg=0.024)).finished
    from stylegan_core.training.steps import Stepper

    seen, step = [], Stepper.step

    def watched(self, *args, **kwargs):
        losses = step(self, *args, **kwargs)
        seen.append(self.optimizer_g.param_groups[0]["lr"] / self.rates[0])
        return losses

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stepper, "step", watched)
        train(change(config, out=tiny.out + "2"))
    assert seen == pytest.approx([1.0, 0.75, 0.5, 0.25])


def test_a_projected_discriminator_trains_with_its_weights_from_a_file(tiny, change, monkeypatch):
    from stylegan_core.networks.efficientnet import EfficientNetLite0

    def random_trunk():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return EfficientNetLite0().eval()

    monkeypatch.setattr("stylegan_core.training.start.load_efficientnet", random_trunk)
    config = change(tiny, discriminator="projected", projected_side=32, kimg=0.024, r1_gamma=1.0)
    train(config)
    state = tensors_of(config)
    assert any(name.startswith("D.heads.") for name in state)
    assert not any(name.startswith("D.trunk.") for name in state)
    other = change(config, out=tiny.out + "2")
    train(change(other, kimg=0.016))
    train(other)
    assert_same(state, tensors_of(other))


def test_log_survives_a_cut_line(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text(json.dumps({"kimg": 1.0, "g": 2.0}) + '\n{"kimg": 2.0, "g"')
    log = report.Log(tmp_path, 1000)
    log.add({"g": 3.0})
    log.add({"g": 5.0})
    log.write(2000, {})
    assert report.read_log(path) == [{"kimg": 1.0, "g": 2.0}, {"kimg": 2.0, "g": 4.0}]


def test_curve_draws_a_line_where_the_numbers_are():
    lines = [{"kimg": float(k), "g": float(k)} for k in range(11)]
    canvas = report.draw_curve(lines, (400, 200)).astype(int)
    blue = np.argwhere((canvas == [0x1F, 0x77, 0xB4]).all(-1))
    plot = blue[blue[:, 0] > 25]
    left, right = plot[plot[:, 1] < 80][:, 0].mean(), plot[plot[:, 1] > 370][:, 0].mean()
    assert left > 165 and right < 40  # rises from the lower left to the upper right


def test_an_anchor_of_codes_holds_some_images(tiny, change, tmp_path):
    import numpy as np

    source = train(change(tiny, kimg=0.008)).snapshot
    num_ws = load_generator(source).num_ws
    codes = np.random.RandomState(0).randn(2, num_ws, 8).astype(np.float32)
    np.savez(tmp_path / "codes.npz", files=["img03.png", "img07.png"], ws=codes)
    config = change(tiny, init=str(source), out=str(tmp_path / "next"), anchor=str(tmp_path / "codes.npz"))
    train(change(config, kimg=0.24, anchor_weight=20.0, anchor_every=1, lr_g=1e-2, pl_every=0, augment="none"))
    anchors = [line["anchor"] for line in report.read_log(tmp_path / "next" / "log.jsonl")]
    assert anchors[-1] < 0.9 * anchors[0]
    np.savez(tmp_path / "other.npz", files=["img03.png", "nobody.png"], ws=codes)
    with pytest.raises(ConfigError, match=r"nobody\.png is not in"):
        train(change(config, anchor=str(tmp_path / "other.npz"), out=str(tmp_path / "other")))
    np.savez(tmp_path / "other.npz", files=["img03.png", "img07.png"], ws=codes[:, 1:])
    with pytest.raises(ConfigError, match="this generator and 2 files need"):
        train(change(config, anchor=str(tmp_path / "other.npz"), out=str(tmp_path / "other")))
    (tmp_path / "other.npz").write_bytes(b"PK\x03\x04 no zip")
    with pytest.raises(ConfigError, match=r"no \.npz of codes"):
        train(change(config, anchor=str(tmp_path / "other.npz"), out=str(tmp_path / "other")))


def test_all_panels_of_the_curve_span_the_same_images():
    lines = [{"kimg": float(kimg), "g": 1.0, "d": 2.0} for kimg in range(1, 41)]
    for line in lines[:20]:
        line["r1"] = line["kimg"]
    curve = report.draw_curve(lines)
    panel = curve[len(curve) // 2 :, 400:-14].reshape(-1, 3).astype(int)  # of r1, the right half
    coloured = panel.max(1) - panel.min(1) > 60
    assert not coloured.any()
