"""Style space: steps of single channels, a table of what they move, and directions of a few of them."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from click.testing import CliRunner
from torch.testing import assert_close

import cli
from editing.codes import open_code
from editing.discover import find_channels as search
from editing.discover.channels import ROWS, ChannelTable, check_channels, face_derivatives, fit_channels, load_channels
from editing.discover.find_channels import candidates, find_channels
from editing.editor import Editor
from editing.films import blend_latents
from editing.info import describe_direction
from editing.operations.transfer import Transfer
from editing.reach import styles_of_shape
from editing.video import repeat_first
from inversion.correction import Correction
from inversion.edit_scores import Outcome, attribute_dependency
from inversion.faces.traits import TRAITS, dependency, traits
from inversion.latents import check_generator, load_latent, save_latent
from inversion.render import face_renderer, renderer
from inversion.scorecard import chosen_edits
from inversion.task import Projection
from stylegan_core.directions import Direction, load_direction, save_direction, show_direction
from stylegan_core.errors import ConfigError, LatentError, LatentMismatchError
from stylegan_core.models.cache import FOLDER_VARIABLE
from stylegan_core.networks.configs import StyleGAN1Config, StyleGAN3Config
from stylegan_core.networks.protocol import CheckpointMeta
from stylegan_core.networks.stylegan1 import StyleGAN1Generator
from stylegan_core.networks.stylegan3 import StyleGAN3Generator
from stylegan_core.styles import added, style_deviations, style_layers


def a_channel_direction(generator, layer="b16.conv1.affine", channel=3, amount=2.0, **report):
    styles = {layer: torch.zeros(style_layers(generator)[layer].bias.shape)}
    styles[layer][channel] = amount
    meta = generator.meta
    still = torch.zeros(1, 1, generator.w_dim)
    return Direction("one-channel", still, meta.fingerprint, meta.name, report=report, styles=styles)


def rendered_with(generator, layer, step, ws):
    """An independent way: what the layer gives out is changed on its way."""
    hook = style_layers(generator)[layer].register_forward_hook(lambda module, inputs, output: output + step)
    try:
        with torch.no_grad():
            return generator.synthesis(ws)
    finally:
        hook.remove()


def test_a_channel_is_moved_as_if_its_layer_gave_out_more(faces64):
    direction, latent = a_channel_direction(faces64), open_code("3", faces64)
    face = Editor(faces64, latent).apply(Transfer(direction, 0.5))
    ((layer, step),) = direction.styles.items()
    assert_close(face.edited, rendered_with(faces64, layer, 0.5 * step, latent.ws))
    with torch.no_grad():
        assert_close(face.inverted, faces64.synthesis(latent.ws))
    assert not torch.equal(face.edited, face.inverted) and torch.equal(face.latent.ws, latent.ws)
    twice = Editor(faces64, face.latent).apply(Transfer(direction, 0.5), Transfer(direction, 1.0))
    assert_close(twice.edited, rendered_with(faces64, layer, 2.0 * step, latent.ws))


def small_stylegan3():
    config = StyleGAN3Config(z_dim=8, w_dim=8, img_resolution=16, channel_base=256, channel_max=16, num_layers=4,
                             num_critical=1)  # fmt: skip
    return StyleGAN3Generator(config)


def small_stylegan1():
    return StyleGAN1Generator(StyleGAN1Config(z_dim=8, w_dim=8, img_resolution=16, mapping_layers=2))


@pytest.mark.parametrize("make", [small_stylegan1, small_stylegan3])
def test_other_generators_have_channels_too(make):
    torch.manual_seed(0)
    generator = make().eval().requires_grad_(False)
    generator.meta = CheckpointMeta("tiny", "test", "e" * 64)
    layers = style_layers(generator)
    layer = list(layers)[-2]
    direction = a_channel_direction(generator, layer, 0, 1.5)
    ws = torch.randn(1, generator.num_ws, generator.w_dim)
    latent = replace(open_code("3", generator), ws=ws, origin=ws)
    face = Editor(generator, latent).apply(Transfer(direction, 1.0))
    assert_close(face.edited, rendered_with(generator, layer, direction.styles[layer], ws), atol=1e-4, rtol=1e-4)
    assert not torch.equal(face.edited, face.inverted)


def test_files_keep_styles_and_refuse_what_is_none(faces64, tmp_path):
    direction = a_channel_direction(faces64)
    save_direction(tmp_path / "one.npz", direction)
    loaded = load_direction(tmp_path / "one.npz")
    assert_close(loaded.styles, direction.styles)
    shown = show_direction(str(tmp_path / "one.npz"), "faces64")
    assert "style space, 1 channel" in shown and "layers: b16.conv1.affine" in shown
    assert describe_direction(tmp_path / "one.npz")["length"] == "2.000"
    latent = Editor(faces64, open_code("3", faces64)).apply(Transfer(loaded)).latent
    save_latent(tmp_path / "latent.npz", latent)
    assert_close(load_latent(tmp_path / "latent.npz").styles, direction.styles)
    other = replace(latent, styles={"b16.conv1.affine": torch.zeros(7)})
    with pytest.raises(LatentMismatchError, match=r"b16\.conv1\.affine of 7 channels"):
        check_generator(other, faces64, "a")
    save_latent(tmp_path / "bad.npz", replace(latent, styles={"x": torch.full((3,), float("nan"))}))
    with pytest.raises(LatentError, match="is not a finite"):
        load_latent(tmp_path / "bad.npz")


def test_corrected_features_stay_under_channels_of_later_layers_and_follow_those_of_earlier_ones(faces64):
    shape = (128, 256)  # of b16.conv1
    correction = Correction("b16.conv1", (torch.randn(shape, generator=torch.Generator().manual_seed(4)),))
    latent = replace(open_code("3", faces64), correction=correction)
    added_there = {}
    for layer in ("b8.conv1.affine", "b32.conv0.affine"):
        face = Editor(faces64, latent).apply(Transfer(a_channel_direction(faces64, layer, amount=40.0)))
        carried = renderer(faces64, face.latent)
        added_there[layer] = carried.at(face.latent.ws)
        assert not torch.equal(face.edited, face.inverted)
    assert torch.equal(added_there["b32.conv0.affine"], correction.whole(latent.ws))
    assert not torch.equal(added_there["b8.conv1.affine"], correction.whole(latent.ws))


def test_what_goes_with_no_single_channel_is_refused(faces64, linear_generator):
    direction = a_channel_direction(faces64, attribute="happy")
    for wrong in ({"layers": "4-5"}, {"keep": "age"}, {"keep": "identity"}):
        with pytest.raises(ConfigError, match="moves single channels"):
            Transfer(direction, **wrong).resolve(faces64, lambda text: text)
    with pytest.raises(ConfigError, match="has no styles"):
        style_layers(linear_generator)
    with pytest.raises(ConfigError, match="auto needs"):
        Transfer(a_channel_direction(faces64), "auto").resolve(faces64, lambda text: text)


def test_strength_auto_and_the_border_go_with_channels(faces64):
    direction, editor = a_channel_direction(faces64, attribute="happy"), Editor(faces64, open_code("3", faces64))
    face = editor.apply(Transfer(direction, "auto"))
    best = face.latent.report["strength_search"]["best"]
    assert_close(face.latent.styles, added({}, direction.styles, best["strength"]))
    held = editor.apply(Transfer(direction, 1.0, keep="border"))
    assert_close(held.latent.styles, direction.styles)
    assert held.latent.report["edits"][0]["border"]["after"] <= held.latent.report["edits"][0]["border"]["before"]


def test_films_and_ways_between_codes_take_styles_along(faces64):
    one, other = (open_code(seed, faces64) for seed in "34")
    moved = replace(one, styles={"b16.conv1.affine": torch.ones(128)})
    half = blend_latents(faces64, [moved, other], [0.25, 0.75])
    assert_close(half.styles, {"b16.conv1.affine": torch.full((128,), 0.25)})
    edit = repeat_first(Transfer(a_channel_direction(faces64), keep="border").resolve(faces64, lambda text: text))
    faces = [Editor(faces64, latent).apply(edit) for latent in (one, other)]
    assert_close(faces[0].latent.styles, faces[1].latent.styles)
    assert_close(faces[1].latent.ws - other.ws, faces[0].latent.ws - one.ws)


def test_derivatives_are_those_of_small_steps(faces64):
    faces = faces64
    ws, rows = open_code("5", faces).ws, {}
    derivatives, person, _ = face_derivatives(faces, ws, 0)
    layers, place = style_layers(faces), 0
    for name, layer in layers.items():
        rows[name], place = place, place + len(layer.bias)
    assert derivatives.shape == (len(TRAITS), place) and person.shape == (place,) and bool((person >= 0).all())
    column = TRAITS.index("light")  # a smooth one
    channel = int(derivatives[column].abs().argmax())
    layer = max((name for name in rows if rows[name] <= channel), key=rows.__getitem__)
    step = torch.zeros(len(layers[layer].bias))
    step[channel - rows[layer]] = 1e-2
    with torch.no_grad():
        up, down = (
            traits(rendered_with(faces, layer, way * step, ws).clamp(-1, 1), faces.meta.alignment)[0, column]
            for way in (1, -1)
        )
    assert float(derivatives[column, channel]) == pytest.approx(float(up - down) / 2e-2, rel=0.05)
    deviations = style_deviations(faces, torch.eye(faces.w_dim))
    weight = layers[layer].weight.detach() * layers[layer].weight_gain
    assert_close(deviations[layer], weight.square().sum(dim=1).sqrt())


def test_a_table_goes_on_where_it_stopped_and_knows_its_generator(faces64, tmp_path, monkeypatch):
    monkeypatch.setattr("editing.discover.channels.SAVED_EVERY", 1)
    told = []
    whole = fit_channels(faces64, tmp_path / "whole.npz", 2, told=lambda num, _: told.append(num))
    fit_channels(faces64, tmp_path / "parts.npz", 1)
    parts = fit_channels(faces64, tmp_path / "parts.npz", 2)
    assert told == [1, 2] and parts.samples == whole.samples == 2
    assert_close(parts.mean, whole.mean, atol=1e-4, rtol=1e-3)
    assert_close(load_channels(tmp_path / "parts.npz").square, parts.square)
    assert parts.step(torch.zeros(parts.mean.shape[1])) == {} and parts.place(0)[1] == 0
    with pytest.raises(ConfigError, match="the generator here is faces64"):
        check_channels(replace(whole, generator="f" * 64, generator_name="other"), faces64, "x.npz")
    (tmp_path / "bad.npz").write_bytes((tmp_path / "parts.npz").read_bytes()[:-100])
    with pytest.raises(LatentError):
        load_channels(tmp_path / "bad.npz")


def test_few_channels_are_found_that_move_what_they_shall(faces64, tmp_path, monkeypatch):
    monkeypatch.setattr(search, "FACES", 2)
    table = fit_channels(faces64, tmp_path / "t.npz", 3)
    more, less = (find_channels(faces64, table, "m", moves, ["identity", "yaw"], 3) for moves in ("light", "-light"))
    for found, sign in ((more, 1), (less, -1)):
        assert sign * found.report["mean_change"]["light"] > 0 and found.attribute == "light"
        assert sum(int((step != 0).sum()) for step in found.styles.values()) <= 3
        assert found.report["identity_distance"] <= search.PERSON + 0.1
    with pytest.raises(ConfigError, match=r"nothing is called 'mouth-opn'.*mouth-open"):
        find_channels(faces64, table, "m", "mouth-opn", [], 3)
    assert "identity" in ROWS and "identity" not in TRAITS


def test_what_stands_where_is_moved_by_no_channel_that_paints(faces64):
    shape = styles_of_shape(faces64)
    assert shape[0] == "b4.conv1.affine" and shape[-1] == "b32.conv1.affine"
    assert not [name for name in shape if "torgb" in name or "b64" in name]
    layers, num = (("b4.conv1.affine", 2), ("b4.torgb.affine", 2)), len(TRAITS)
    effects, ones = torch.tensor([[0.1, 0.2, 0.9, 0.8]]).repeat(len(ROWS), 1), torch.ones(num)
    table = ChannelTable("", "", layers, 1, effects, effects.square(), torch.ones(4), 0 * ones, ones)
    for among, expected in ((shape, [1, 0]), ([name for name, _ in layers], [2, 3])):
        assert candidates(table, 0, torch.zeros(num), 0.0, 2, among).tolist() == expected


def test_commands_make_the_table_and_find_a_direction_that_edits(faces64, tmp_path, monkeypatch):
    monkeypatch.setattr(search, "FACES", 1)
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))

    def run(*words, code=0):
        result = CliRunner().invoke(cli.main, [str(word) for word in words])
        assert result.exit_code == code, result.output
        return result.output + result.stderr

    words = ["directions", "find", "--moves", "light", "--name", "lit", "--out", tmp_path / "lit.npz"]
    words += ["--generator", "faces64", "--channels", 2]
    assert "run `invertigo channels fit`" in run(*words, code=2)
    assert "1 faces" in run("channels", "fit", "--generator", "faces64", "--samples", 1)
    assert "light: b" in run("channels", "show", "--generator", "faces64")
    assert "attribute dependency" in run(*words)
    save_latent(tmp_path / "a.npz", open_code("3", faces64))
    edit = ["edit", tmp_path / "a.npz", "--transfer", f"{tmp_path / 'lit.npz'}:0.5", "--out", tmp_path / "out"]
    assert "style space, 2 channels" in run("info", tmp_path / "lit.npz")
    run(*edit)  # whose generator is that of the latent
    latent = load_latent(tmp_path / "out" / "a" / "face0" / "latent.npz")
    assert (
        latent.styles
        and torch.equal(latent.ws, latent.origin)
        and "yes" in run("info", tmp_path / "out" / "a" / "face0" / "latent.npz")
    )


def test_dependency_is_what_else_changes_for_each_unit():
    changes = torch.zeros(2, len(TRAITS))
    changes[:, TRAITS.index("happy")] = torch.tensor([2.0, 2.0])
    assert dependency(changes, "happy") == 0
    changes[:, TRAITS.index("age")] = torch.tensor([1.0, -1.0])
    assert dependency(changes, "happy") == pytest.approx(0.5 / (len(TRAITS) - 1))


def test_the_scorecard_compares_directions_of_channels_with_those_of_w(faces64, tmp_path, monkeypatch):
    monkeypatch.setattr("inversion.edit_scores.trait_spread", lambda generator: torch.ones(len(TRAITS)))
    direction = a_channel_direction(faces64, attribute="light")
    save_direction(tmp_path / "one.npz", direction)
    edits = chosen_edits(f"smile, {tmp_path / 'one.npz'}, unheard-of", faces64)
    assert [edit.name for edit in edits] == ["smile", "one-channel"]
    ws = open_code("3", faces64).ws
    render, styled = face_renderer(faces64, ws, {}), partial(face_renderer, faces64, ws, {}, None, None)
    with torch.no_grad():
        outcome = Outcome(render(ws), render, Projection(ws, {}, torch.zeros(1), [0], [0]), 0.0, 0.0, styled)
    ((layer, step),) = direction.styles.items()
    assert_close(outcome.edited(direction, 0.5), rendered_with(faces64, layer, 0.5 * step, ws).clamp(-1, 1))
    before, after = (
        traits(image.clamp(-1, 1), faces64.meta.alignment) for image in (outcome.image, outcome.edited(direction, 1.0))
    )
    expected = (after - before)[0].abs()
    own = expected[TRAITS.index("light")]
    found = attribute_dependency([outcome], direction, 1.0, faces64)
    assert found == pytest.approx(float((expected.sum() - own) / (len(TRAITS) - 1) / own), rel=1e-3)
    with pytest.raises(ConfigError, match="take another method"):
        replace(outcome, styled=None).edited(direction, 1.0)
