import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from torch.testing import assert_close

import cli
from editing.interpolate import BLENDS, lerp, path_through, slerp
from editing.layers import parse_layers
from stylegan_core.errors import ConfigError
from stylegan_core.generate import render
from stylegan_core.images import to_uint8
from stylegan_core.seeds import latents_from_seeds

STREAM = torch.Generator().manual_seed(2)


def normal(*shape):
    return torch.randn(*shape, generator=STREAM)


def test_slerp_walks_the_circle_at_an_even_pace():
    a, b = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 1.0, 0.0])
    for t in (0.0, 0.25, 0.5, 1.0):
        angle = torch.tensor(t * np.pi / 2)
        assert_close(slerp(a, b, t), torch.stack([angle.cos(), angle.sin(), angle * 0]).float(), atol=1e-6, rtol=0)
    assert_close(slerp(2 * a, 4 * b, 0.5).norm(), torch.tensor(3.0))
    assert_close(slerp(a, 3 * a, 0.5), 2 * a)


def test_slerp_of_normal_codes_keeps_their_length_where_lerp_does_not():
    a, b = normal(512), normal(512)
    assert abs(float(slerp(a, b, 0.5).norm()) / 512**0.5 - 1) < 0.05
    assert float(lerp(a, b, 0.5).norm()) / 512**0.5 < 0.8


@pytest.mark.parametrize("blend", BLENDS)
@pytest.mark.parametrize("loop", [False, True])
def test_a_path_hits_its_keyframes_bit_for_bit_and_has_as_many_frames_as_asked(blend, loop):
    keys = normal(3, 4, 12)
    path = path_through(keys, 13 if not loop else 12, loop, BLENDS[blend])
    assert len(path) == (12 if loop else 13)
    for index, key in enumerate(keys):
        assert torch.equal(path[index * (4 if loop else 6)], key)
    if loop:
        assert_close(path[-1], BLENDS[blend](keys[2], keys[0], 0.75))
    else:
        assert torch.equal(path[-1], keys[-1])


def test_a_straight_path_is_even():
    path = path_through(normal(2, 1, 12), 11)
    steps = (path[1:] - path[:-1]).norm(dim=(1, 2))
    assert_close(steps, steps[:1].expand_as(steps), rtol=1e-4, atol=1e-5)


def test_too_few_codes_or_frames_are_refused():
    with pytest.raises(ConfigError, match="two or more"):
        path_through(normal(1, 12), 10)
    with pytest.raises(ConfigError, match="give 4 or more"):
        path_through(normal(4, 12), 3)


def run(*words, code=0):
    result = CliRunner().invoke(cli.main, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result


def test_a_film_between_seeds_is_the_renders_of_the_path(faces64, tmp_path):
    words = ["--frames", 5, "--path", "z", "--fps", 10, "--generator", "faces64"]
    run("interpolate", 1, 2, *words, "--out", tmp_path)
    with Image.open(tmp_path / "interpolation.gif") as film:
        assert (film.n_frames, film.size, film.info["duration"], film.info["loop"]) == (5, (256, 256), 100, 0)
        film.seek(2)
        frame = np.asarray(film.convert("RGB").resize((64, 64), Image.Resampling.BOX)).astype(float)
    z = latents_from_seeds([1, 2], faces64.z_dim)
    middle = to_uint8(render(faces64, faces64.mapping(slerp(z[:1], z[1:], 0.5))))[0].astype(float)
    assert np.abs(frame - middle).mean() < 4  # a GIF has 256 colours
    with Image.open(tmp_path / "interpolation.png") as strip:
        assert strip.width > 5 * 128


def test_films_go_through_latents_and_refuse_what_has_no_z(tmp_path):
    run("generate", "--seeds", 7, "--out", tmp_path)
    latent = tmp_path / "seed0007.npz"
    result = run("interpolate", latent, 3, latent, "--frames", 7, "--loop", "--out", tmp_path / "f")
    assert "7 frames through 3 codes in W" in result.output
    for words, text in [
        ([latent, 3, "--path", "z"], "between seeds only"),
        ([3], "two or more"),
        ([3, 4, "--frames", 1], "expected 2"),
        ([3, 4, "--fps", 0], "frames a second"),
        ([3, tmp_path / "no.npz"], "no such file"),
    ]:
        code = 1 if text == "no such file" else 2
        assert text in run("interpolate", *words, "--out", tmp_path / "x", code=code).stderr


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # imageio-ffmpeg leaves its pipes open
def test_mp4_has_the_frames_or_says_what_to_install(tmp_path, monkeypatch):
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    run("interpolate", 1, 2, "--frames", 12, "--format", "mp4", "--out", tmp_path)
    frames = ffmpeg.read_frames(str(tmp_path / "interpolation.mp4"))
    meta = next(frames)
    assert meta["size"] == (256, 256)
    assert sum(1 for _ in frames) == 12
    monkeypatch.setitem(__import__("sys").modules, "imageio_ffmpeg", None)
    failed = run("interpolate", 1, 2, "--frames", 3, "--format", "mp4", "--out", tmp_path / "x", code=2)
    assert "invertigo[video]" in failed.stderr


def test_sweeps_and_several_cuts_are_drawn_beside_the_edit(tmp_path):
    run("generate", "--seeds", "7-8", "--out", tmp_path)
    first, second = tmp_path / "seed0007.npz", tmp_path / "seed0008.npz"
    run("truncate", first, "--psi", 0.5, "--sweep=-1,0,1", "--out", tmp_path / "t")
    with Image.open(tmp_path / "t" / "seed0007" / "face0" / "sweep.png") as strip:
        assert 3 * 128 < strip.width < 4 * 256
    run("crossover", first, second, "--layers", "coarse", "--layers", "1-2,6", "--out", tmp_path / "c")
    folder = tmp_path / "c" / "seed0007" / "face0"
    assert (folder / "cuts.png").is_file()
    one, two = (torch.from_numpy(np.load(file)["w"]) for file in (first, second))
    for cut in ("coarse", "1-2,6"):
        child = torch.from_numpy(np.load(folder / f"latent-{cut.replace(',', '+')}.npz")["w"])
        chosen = parse_layers(cut, one.shape[1])
        others = [layer for layer in range(one.shape[1]) if layer not in chosen]
        assert torch.equal(child[:, chosen], two[:, chosen])
        assert torch.equal(child[:, others], one[:, others])
    assert json.loads((folder / "report.json").read_text())["edits"] == [{"crossover": [0, 1, 2, 3]}]
    assert "not understood" in run("truncate", first, "--sweep", "a", "--out", tmp_path / "x", code=2).stderr


def test_noise_and_tuned_weights_go_along_the_path(faces64):
    from dataclasses import replace

    from editing.codes import open_code
    from editing.films import blend_latents
    from inversion.delta import Delta
    from inversion.render import render_code

    one, two = open_code("7", faces64), open_code("8", faces64)
    name, bias = "b64.torgb.bias", torch.tensor([0.4, -0.2, 0.0])
    left, right, layer = torch.ones(64, 1) * 0.01, torch.ones(1, 576) * 0.1, "b32.conv1.weight"
    tuned = replace(one, delta=Delta({name: (bias.half(),), layer: (left, right)}))
    assert blend_latents(faces64, [tuned, two], [1.0, 0.0]) is tuned
    middle = blend_latents(faces64, [tuned, two], [0.25, 0.75])
    assert_close(middle.ws, 0.25 * one.ws + 0.75 * two.ws)
    assert middle.delta is not None
    assert_close(middle.delta.parts[name][0], 0.25 * bias, atol=1e-4, rtol=1e-3)
    expected = replace(middle, delta=Delta({name: (0.25 * bias,), layer: (left / 4, right)}))
    assert_close(render_code(faces64, middle), render_code(faces64, expected), atol=1e-3, rtol=1e-3)
    assert (render_code(faces64, middle) - render_code(faces64, replace(middle, delta=None))).abs().max() > 0.05
