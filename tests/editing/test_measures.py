"""What is measured on a face, and set: openings and heights as ratios, the head's pose in degrees."""

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from editing.codes import open_code
from editing.dials import DialTable, find_dials, fit_dials, load_dials, own_file, range_lines, save_dials
from editing.discover.dial_channels import reached_ranges, with_channels
from editing.editor import Editor
from editing.operations.measures import SetExpression, SetMeasures, parse_targets
from editing.reach import measures_of
from editing.saved_expressions import find_expression, load_expression, read_expression, save_expression
from inversion.faces.landmarks import find_landmarks
from inversion.faces.measures import (
    MEASURES,
    RIGID,
    eyes_open,
    measure_all,
    mouth_corners,
    mouth_open,
    mouth_width,
    pose,
)
from stylegan_core.directions import Direction
from stylegan_core.errors import ConfigError, LatentError
from stylegan_core.images import read_photo
from stylegan_core.models.cache import FOLDER_VARIABLE
from stylegan_core.seeds import generator_for
from stylegan_core.styles import split_styles, style_layers

FRONT = [[1.0, 0, 0], [0, 1, 0]]


def seen_by(camera):
    points = torch.zeros(1, 68, 2, dtype=torch.float64)
    model = torch.tensor(list(RIGID.values()), dtype=torch.float64)
    points[0, list(RIGID)] = model @ torch.tensor(camera, dtype=torch.float64).T * 0.003 + torch.tensor([0.4, 0.6])
    return points


@pytest.mark.parametrize("degrees", [-25.0, -5.0, 0.0, 12.0])
def test_the_pose_is_that_of_the_camera_that_sees_the_model(degrees):
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    cameras = {0: [[c, 0, s], [0, 1, 0]], 1: [[1, 0, 0], [0, c, -s]], 2: [[c, -s, 0], [s, c, 0]]}
    for axis, camera in cameras.items():  # yaw: the nose goes right; pitch: it goes up; roll: clockwise
        expected = torch.zeros(3, dtype=torch.float64)
        expected[axis] = degrees
        torch.testing.assert_close(pose(seen_by(camera))[0], expected, atol=1e-6, rtol=0)


def a_face():
    """Eyes 10 wide, 3 high, 20 apart; a mouth 15 wide, 2 open, its corners 1 above the lips' middle."""
    points = seen_by(FRONT)
    for first, x in ((36, -10), (42, 10)):
        eye = [(-5, 0), (-2, -1.5), (2, -1.5), (5, 0), (2, 1.5), (-2, 1.5)]
        points[0, first : first + 6] = torch.tensor([(x + a, b) for a, b in eye])
    points[0, 48:68, 1] = 30.0
    points[0, 48], points[0, 54] = torch.tensor([-7.5, 29.0]), torch.tensor([7.5, 29.0])
    for above, below in ((61, 67), (62, 66), (63, 65)):
        points[0, above], points[0, below] = torch.tensor([0.0, 29.0]), torch.tensor([0.0, 31.0])
    return points


def test_ratios_are_those_of_a_face_drawn_by_hand_at_any_size_and_angle():
    turn = torch.tensor([[math.cos(0.3), -math.sin(0.3)], [math.sin(0.3), math.cos(0.3)]], dtype=torch.float64)
    for points in (a_face(), a_face() @ turn.T * 0.01 + 0.5):
        found = [float(of(points)) for of in (eyes_open, mouth_open, mouth_width, mouth_corners)]
        assert found == pytest.approx([0.3, 0.1, 0.75, 0.05], abs=1e-9)


@pytest.mark.parametrize(
    "text, reason",
    [
        ("eyes-open", "expected NAME=NUMBER"),
        ("eyes-open=wide", "expected NAME=NUMBER"),
        ("ears=1", "nothing that is measured is called 'ears'; there are eyes-open"),
        ("yaw=nan", "no face's"),
        ("mouth-open=7", "expected 0 to 1"),
        ("yaw=3,yaw=4", "gives yaw twice"),
    ],
)
def test_what_cannot_be_set_is_refused_with_what_can(text, reason):
    with pytest.raises(ConfigError, match=reason):
        parse_targets(text)
    with pytest.raises(ConfigError, match=reason):
        SetMeasures(text)


def test_measures_that_are_given_apart_are_set_together():
    (operation,) = SetMeasures.parse_all(("eyes-open=.3", "yaw=8"), identity_ceiling=0.2)
    assert parse_targets(operation.set) == {"eyes-open": 0.3, "yaw": 8.0}
    assert operation.identity_ceiling == 0.2 and SetMeasures.parse_all(()) == []


def test_a_set_measure_is_measured_again_on_the_render_and_the_person_stays(faces64):
    latent = open_code("3", faces64)
    editor = Editor(faces64, latent)
    before = measures_of(editor.apply().edited, faces64.meta.alignment)
    wanted = before["mouth-width"] + 0.06
    face = editor.apply(SetMeasures(f"mouth-width={wanted:.4f}"))
    after = measures_of(face.edited, faces64.meta.alignment)
    edit = face.latent.report["edits"][-1]
    assert abs(after["mouth-width"] - wanted) <= MEASURES["mouth-width"].tolerance
    assert edit["missed"] == {} and face.notes == () and edit["identity_distance"] <= 0.35
    assert after["mouth-width"] == pytest.approx(edit["reached"]["mouth-width"], abs=2e-3)


def test_what_is_out_of_reach_is_said_with_the_nearest(faces64):
    face = Editor(faces64, open_code("3", faces64)).apply(SetMeasures("yaw=55", identity_ceiling=0.1))
    edit = face.latent.report["edits"][-1]
    assert "yaw" in edit["missed"] and edit["identity_distance"] <= 0.1
    assert "cannot set yaw to 55.0 degrees" in face.notes[0] and "the nearest is" in face.notes[0]


def test_an_expression_is_saved_read_and_set_as_a_whole(astronaut_file, tmp_path):
    values = read_expression(read_photo(astronaut_file))
    assert set(values) == {name for name, measure in MEASURES.items() if measure.expression}
    assert values["mouth-corners"] > find_expression("neutral")["mouth-corners"]  # she smiles
    save_expression(tmp_path / "hers.json", values, "hers")
    assert find_expression(str(tmp_path / "hers.json")) == pytest.approx(values)
    assert SetExpression(str(tmp_path / "hers.json")).files() == [tmp_path / "hers.json"]


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"format": "invertigo expression"}', "[" * 100_000, "{\"format\": 1}",
                '{"format": "invertigo expression", "measures": {"yaw": "8"}}',
                '{"format": "invertigo expression", "measures": {"ears": 1}}'],
)  # fmt: skip
def test_a_damaged_expression_is_refused(content, tmp_path):
    (tmp_path / "bad.json").write_text(content)
    with pytest.raises(Exception, match=r"bad.json|ears|larger") as raised:
        load_expression(tmp_path / "bad.json")
    assert type(raised.value).__module__ == "stylegan_core.errors"


def test_an_unknown_expression_names_those_there_are():
    with pytest.raises(ConfigError, match=r"shipped: .*neutral"):
        find_expression("grin")


def test_dials_move_what_they_are_named_for_and_keep_their_numbers_in_a_file(faces64, tmp_path):
    table = fit_dials(faces64, 48)
    assert table.names == tuple(MEASURES) and bool((table.ranges[:, 0] < table.ranges[:, 1]).all())
    ws, index = faces64.mapping(torch.randn(6, faces64.z_dim, generator=generator_for(9))), 3
    before, after = (
        measure_all(find_landmarks(faces64.synthesis(codes).clamp(-1, 1), faces64.meta.alignment))[:, index].mean()
        for codes in (ws, ws + 2 * table.directions[index] / table.response[index, index].sqrt())
    )
    assert table.names[index] == "mouth-width" and after > before
    save_dials(tmp_path / "dials.npz", table)
    again = load_dials(tmp_path / "dials.npz")
    assert again.names == table.names and torch.equal(again.directions, table.directions)


def as_channels(generator, vector):
    """The step in style space [C] of all layers that is the same as a step of w by `vector` [w_dim]."""
    layers = style_layers(generator)
    steps = [layer.weight.detach() @ vector * layer.weight_gain for layer in layers.values()]
    return torch.cat(steps), tuple((name, len(layer.bias)) for name, layer in layers.items())


def test_a_measure_is_set_by_channels_where_they_cost_less_of_the_person(faces64, tmp_path, monkeypatch):
    table = fit_dials(faces64, 48)
    index = table.names.index("mouth-width")
    length = table.response[index, index].sqrt()
    step, layers = as_channels(faces64, table.directions[index] / length)
    table = replace(
        table, layers=layers, channels=step[None], effects=table.response[index][None] / length,
        person=torch.tensor([1e-3]),
    )  # fmt: skip
    save_dials(tmp_path / "dials.npz", table)
    again = load_dials(tmp_path / "dials.npz")
    assert again.layers == layers and torch.equal(again.channels, table.channels)
    np.savez(tmp_path / "bad.npz", **{**np.load(tmp_path / "dials.npz"), "channels": np.zeros((1, 3), np.float32)})
    with pytest.raises(LatentError, match="no dials in it"):
        load_dials(tmp_path / "bad.npz")
    monkeypatch.setattr("editing.reach.find_dials", lambda generator: again)
    monkeypatch.setattr("editing.reach.HELD", 0.0)  # else what else moves is brought back by steps in W
    latent = open_code("3", faces64)
    width = measures_of(Editor(faces64, latent).apply().edited, faces64.meta.alignment)["mouth-width"]
    face = Editor(faces64, latent).apply(SetMeasures(f"mouth-width={width + 0.04:.4f}", identity_ceiling=10))
    (edit,) = face.latent.report["edits"]
    assert abs(edit["reached"]["mouth-width"] - width - 0.04) < 0.03 and not edit["missed"]
    shift = (face.latent.ws - latent.ws).norm(dim=-1).max() / (table.directions[index] / length).norm()
    assert face.latent.styles and float(shift) < 0.5  # of a standard deviation
    assert set(face.latent.styles) == {name for name, _ in layers} and "styles" not in face.latent.report


def a_few_dials(generator, names=("mouth-open", "yaw"), **more):
    """A table of numbers that nobody fitted."""
    num, ranges = len(names), torch.tensor([[0.02, 0.1], [-6.0, 6.0]])
    meta = generator.meta
    return DialTable(meta.fingerprint, meta.name, names, torch.ones(num, generator.w_dim), torch.eye(num), ranges, 32,
                     **more)  # fmt: skip


def test_dials_take_the_channels_that_are_found_for_each(faces64, monkeypatch):
    layers = tuple((name, len(layer.bias)) for name, layer in style_layers(faces64).items())
    second, size = layers[1]  # so that what comes before it counts
    asked = []

    def found(generator, table, name, moves, spares, num):
        asked.append((moves, spares))
        styles = {second: torch.full((size,), 0.5 + len(asked))}
        report = {"mean_change": {"mouth-open": 0.01, "yaw": 2.0, "age": 5.0}, "identity_distance": 0.1 * len(asked)}
        return Direction(name, torch.zeros(1, 1, 1), "", "", report=report, styles=styles)

    monkeypatch.setattr("editing.discover.dial_channels.find_channels", found)
    table = with_channels(faces64, a_few_dials(faces64), SimpleNamespace(layers=layers))
    assert asked == [("mouth-open", ["identity", "yaw"]), ("yaw", ["identity", "mouth-open"])]
    assert table.effects.tolist() == [pytest.approx([0.01, 2.0])] * 2 and table.person.tolist() == pytest.approx(
        [0.1, 0.2]
    )
    for row, amount in zip(table.channels, (1.5, 2.5), strict=True):
        (step,) = split_styles(row, layers).items()
        assert step[0] == second and torch.equal(step[1], torch.full((size,), amount))


def test_ranges_are_what_three_of_four_faces_reach(faces64, monkeypatch):
    asked = []

    def half_way(render, ws, targets, ceiling, dials):
        ((name, wanted),) = targets.items()
        asked.append((name, wanted))
        limit = (0.03, 0.05, 0.06, 0.2, 0.3)[(len(asked) - 1) // 4]  # another for each face
        return SimpleNamespace(values={name: min(wanted, limit) if wanted > 0.05 else max(wanted, 0.01)})

    monkeypatch.setattr("editing.discover.dial_channels.reach", half_way)
    heard = []
    table = reached_ranges(faces64, a_few_dials(faces64), 5, lambda done, _: heard.append(done))
    assert heard == list(range(1, 21)) and table.reached_on == 5
    assert asked[:4] == [("mouth-open", 0.0), ("mouth-open", pytest.approx(0.18)), ("yaw", -18.0), ("yaw", 18.0)]
    assert table.ranges[0].tolist() == pytest.approx([0.01, 0.05])  # 0.05, 0.06, 0.18 and 0.18 of five
    assert "reached by three of four of 5 faces" in range_lines(table)[0]


def test_a_damaged_file_of_dials_is_refused(tmp_path):
    np.savez(tmp_path / "bad.npz", about=json.dumps({"names": ["yaw"]}), directions=np.zeros((2, 4), np.float32))
    with pytest.raises(LatentError, match="no dials in it"):
        load_dials(tmp_path / "bad.npz")


def test_dials_of_the_users_own_are_found_again(faces64, tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    meta = replace(faces64.meta, fingerprint="ab" * 32)
    generator = SimpleNamespace(meta=meta)
    (tmp_path / "dials").mkdir()
    save_dials(own_file(generator), replace(fit_dials(faces64, 32), generator=meta.fingerprint))
    assert find_dials(generator).generator == meta.fingerprint


def test_the_commands_list_what_can_be_set_and_save_an_expression(astronaut_file, tmp_path):
    import cli

    listed = CliRunner().invoke(cli.main, ["dials", "list", "--generator", "faces64"])
    assert listed.exit_code == 0 and all(name in listed.output for name in MEASURES)
    saved = CliRunner().invoke(cli.main, ["expression", "save", str(astronaut_file), "--out", str(tmp_path / "e.json")])
    assert saved.exit_code == 0, saved.output
    assert np.isfinite(list(json.loads((tmp_path / "e.json").read_text())["measures"].values())).all()
