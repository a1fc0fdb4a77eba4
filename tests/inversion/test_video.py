import subprocess

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from scipy.ndimage import gaussian_filter1d
from small_generators import Pooled, tiny

import cli
from inversion.config import ProjectionConfig, VideoConfig
from inversion.encoder import near_code
from inversion.latents import load_latent
from inversion.task import Task
from inversion.video import codes_near_w, invert_frames, smooth_quads, write_film
from stylegan_core.console import Console
from stylegan_core.errors import ConfigError
from stylegan_core.films import open_film
from stylegan_core.generate import generate_ws

QUIET = Console(quiet=True)


def frames_of(generator, num=6):
    """Frames of a code that moves a little."""
    w = generator.mapping(torch.randn(2, generator.z_dim, generator=torch.Generator().manual_seed(0)))
    ws = torch.stack([w[0].lerp(w[1], 0.3 * t / num) for t in range(num)])
    return generator.synthesis(ws)


def a_task(generator, frames, tmp_path):
    config = ProjectionConfig(steps=20, lambda_mse=10.0, patience=0)
    return Task(generator, frames, Pooled(), config, state_file=tmp_path / "state")


def roughness(ws):
    return (ws[1:] - ws[:-1]).square().mean().item()


def test_frames_are_followed_and_the_temporal_term_smooths_their_codes(tmp_path):
    generator = tiny()
    frames = frames_of(generator) + 0.2 * torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    task = a_task(generator, frames, tmp_path)
    rough, smooth = (
        invert_frames(task, VideoConfig(passes=30, chunk=4, temporal=weight), "", QUIET) for weight in (0.0, 50.0)
    )
    assert roughness(smooth) < 0.5 * roughness(rough)
    pivot_error = (generator.synthesis(rough.mean(dim=0, keepdim=True)) - frames).square().mean()
    assert (generator.synthesis(rough) - frames).square().mean() < pivot_error
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_film_goes_on_bit_for_bit(tmp_path):
    generator = tiny()
    task, config = a_task(generator, frames_of(generator), tmp_path), VideoConfig(passes=4, chunk=4)

    class Stopping(Console):
        left = 5

        def progress(self, label, total):
            from contextlib import nullcontext

            def update(step, loss):
                self.left -= label == "frames"
                if self.left == 0:
                    raise KeyboardInterrupt

            return nullcontext(update)

    whole = invert_frames(task, config, "", QUIET)
    with pytest.raises(KeyboardInterrupt):
        invert_frames(task, config, "", Stopping(quiet=True))
    assert torch.equal(invert_frames(task, config, "", QUIET), whole)


def test_quads_are_smoothed_by_a_gaussian_and_left_alone_at_zero():
    quads = [np.random.default_rng(index).normal(size=(4, 2)) for index in range(5)]
    assert np.array_equal(np.stack(smooth_quads(quads, 0.0)), np.stack(quads))
    expected = gaussian_filter1d(np.stack(quads), 1.5, axis=0, mode="nearest")
    np.testing.assert_allclose(np.stack(smooth_quads(quads, 1.5)), expected)
    still = [quads[0]] * 5
    np.testing.assert_allclose(np.stack(smooth_quads(still, 2.0)), np.stack(still))


def test_codes_near_w_are_the_encoder_s_smoothed_over_time(faces64):
    ws = generate_ws(faces64, [1, 2, 3])
    with torch.no_grad():
        frames = faces64.synthesis(ws).clamp(-1, 1)
    plain, smooth = (
        codes_near_w(faces64, frames, VideoConfig(chunk=2, smooth_quads=sigma), "") for sigma in (0.0, 1.5)
    )
    each = torch.cat([near_code(faces64, frame, "") for frame in frames.split(1)])
    torch.testing.assert_close(plain, each, atol=1e-4, rtol=1e-4)
    expected = gaussian_filter1d(each.numpy(), 1.5, axis=0, mode="nearest")
    np.testing.assert_allclose(smooth.numpy(), expected, atol=1e-4)
    assert codes_near_w(tiny(), frames[:, :, :16, :16], VideoConfig(), "") is None


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # imageio-ffmpeg leaves its pipes open
def test_the_film_gets_its_sound_back_and_says_that_it_is_edited(tmp_path):
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    words = ["-f", "lavfi", "-i", "testsrc=duration=1:size=96x96:rate=5", "-f", "lavfi", "-i", "sine=duration=1"]
    subprocess.run([ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", *words, str(tmp_path / "in.mp4")], check=True)
    film = open_film(tmp_path / "in.mp4", limit=3)
    told = write_film(tmp_path / "out", film, film.frames())
    assert "video.mp4" in told
    probe = [ffmpeg.get_ffmpeg_exe(), "-i", str(tmp_path / "out" / "video.mp4")]
    words = subprocess.run(probe, capture_output=True, text=True, check=False).stderr
    assert "Audio: aac" in words
    assert "not an unaltered film" in words
    assert len(list((tmp_path / "out" / "frames").iterdir())) == 3
    assert len(list(open_film(tmp_path / "out" / "video.mp4").frames())) == 3


def test_the_command_puts_the_edited_face_back_and_leaves_the_rest(tmp_path, astronaut):
    (tmp_path / "in").mkdir()
    for index in range(3):
        Image.fromarray(np.roll(astronaut[:256, 100:356], 2 * index, axis=1)).save(tmp_path / "in" / f"{index}.png")
    words = ["video", str(tmp_path / "in"), "--transfer", "smile:-1", "--steps", "4", "--passes", "3"]
    result = CliRunner().invoke(cli.main, [*words, "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    for index in range(3):
        before = np.asarray(Image.open(tmp_path / "in" / f"{index}.png"))
        after = np.asarray(Image.open(tmp_path / "out" / "frames" / f"{index:05d}.png"))
        changed = (before != after).any(axis=-1)
        assert 1000 < changed.sum() < 0.5 * changed.size
        assert not changed[-20:].any()
        latent = load_latent(tmp_path / "out" / "latents" / f"{index:05d}.npz")
        assert latent.quad is not None
        assert latent.near is not None
        assert not torch.equal(latent.near, latent.origin)


def test_a_way_of_pasting_that_there_is_not_is_refused_before_anything_is_loaded(tmp_path):
    result = CliRunner().invoke(
        cli.main, ["video", str(tmp_path), "--transfer", "smile", "--paste", "glue", "--out", "o"]
    )
    assert result.exit_code == 2
    assert "glue" in result.output
    with pytest.raises(ConfigError, match="paste"):
        VideoConfig(paste="glue")


def test_a_region_confines_the_edit_of_every_frame(tmp_path, astronaut):
    (tmp_path / "in").mkdir()
    for index in range(2):
        Image.fromarray(astronaut[:256, 100 + index : 356 + index]).save(tmp_path / "in" / f"{index}.png")
    painted = np.zeros((256, 256, 3), np.uint8)
    painted[:, 128:] = 255
    Image.fromarray(painted).save(tmp_path / "right.png")
    words = ["video", str(tmp_path / "in"), "--transfer", "smile:-1", "--steps", "1", "--passes", "1"]
    words += ["--generator", "faces64", "--paste", "warp", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(cli.main, [*words, "--region", str(tmp_path / "right.png")])
    assert result.exit_code == 0, result.output
    for index in range(2):
        before = np.asarray(Image.open(tmp_path / "in" / f"{index}.png"))
        changed = (before != np.asarray(Image.open(tmp_path / "out" / "frames" / f"{index:05d}.png"))).any(axis=-1)
        assert changed[:, 128:].any() and not changed[:, :128].any()
    refused = CliRunner().invoke(cli.main, [*words, "--region", "ears"])
    assert refused.exit_code == 2 and "--region 'ears' is unknown" in refused.stderr
