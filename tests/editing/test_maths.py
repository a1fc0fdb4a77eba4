import numpy as np
import pytest
import torch
from torch.testing import assert_close

from editing.crossover import crossover, mixing_grid
from editing.discover.pairs import mean_difference
from editing.editor import Editor
from editing.expression import move, transfer_expression
from editing.layers import parse_layers
from editing.operations.transfer import Transfer
from editing.truncation import truncate
from inversion.latents import Latent
from stylegan_core.directions import Direction, find_direction, load_direction, save_direction
from stylegan_core.errors import ConfigError, LatentError, LatentMismatchError

WS, W2, W3 = torch.randn(3, 1, 4, 12).unbind()


def test_expression_transfer_is_w1_plus_lambda_times_w3_minus_w2():
    assert_close(transfer_expression(WS, W2, W3, 0.3), WS + 0.3 * (W3 - W2))


def test_strength_0_psi_1_and_no_layers_change_nothing_bit_for_bit():
    assert torch.equal(move(WS, W2, 0.0), WS)
    assert torch.equal(truncate(WS, W2[0, 0], 1.0), WS)
    assert torch.equal(crossover(WS, W2, []), WS)


def test_a_direction_moves_only_its_layers():
    moved = move(WS, W2, 2.0, layers=[1, 3])
    assert torch.equal(moved[:, [0, 2]], WS[:, [0, 2]])
    assert_close(moved[:, [1, 3]], WS[:, [1, 3]] + 2 * W2[:, [1, 3]])
    assert_close(move(WS, W2[:, :1], 1.5), WS + 1.5 * W2[:, :1])


def test_truncation_pulls_towards_the_mean_up_to_the_cutoff():
    w_avg = torch.randn(12)
    assert_close(truncate(WS, w_avg, 0.0), w_avg.expand(1, 4, 12))
    half = truncate(WS, w_avg, 0.5, cutoff=2)
    assert_close(half[:, :2], (WS[:, :2] + w_avg) / 2)
    assert torch.equal(half[:, 2:], WS[:, 2:])
    assert_close(truncate(WS, w_avg, -1.0), 2 * w_avg - WS)


def test_crossover_and_grid_take_the_named_layers_from_the_second_parent():
    child = crossover(WS, W2, [0, 2])
    assert torch.equal(child[:, [0, 2]], W2[:, [0, 2]])
    assert torch.equal(child[:, [1, 3]], WS[:, [1, 3]])
    rows, columns = torch.randn(2, 4, 12), torch.randn(3, 4, 12)
    grid = mixing_grid(rows, columns, [1])
    assert grid.shape == (2, 3, 4, 12)
    for r in range(2):
        for c in range(3):
            assert torch.equal(grid[r, c], crossover(rows[r : r + 1], columns[c : c + 1], [1])[0])


def test_layers_by_name_and_number():
    assert parse_layers("coarse", 10) == [0, 1, 2, 3]
    assert parse_layers("middle", 10) == [4, 5, 6, 7]
    assert parse_layers("fine", 10) == [8, 9]
    assert parse_layers("all", 3) == [0, 1, 2]
    assert parse_layers("1-2, 8,coarse", 10) == [0, 1, 2, 3, 8]
    for text in ("", "x", "3-", "10", "8-12", "4-2"):
        with pytest.raises(ConfigError):
            parse_layers(text, 10)
    with pytest.raises(ConfigError, match="none of this generator's"):
        parse_layers("fine", 8)


def test_the_mean_difference_of_pairs_recovers_a_planted_direction():
    planted = torch.randn(1, 1, 12)
    neutral = torch.randn(5, 1, 12)
    assert_close(mean_difference(neutral, neutral + planted), planted)


def test_transfers_are_read_with_and_without_their_own_strength():
    assert Transfer.parse("smile", strength=0.5) == Transfer("smile", 0.5)
    assert Transfer.parse("smile:-0.3", strength=0.5) == Transfer("smile", -0.3)
    for text in ("smile:x", "smile:1e9", "smile:nan", "smile:"):
        with pytest.raises(ConfigError):
            Transfer.parse(text)


def a_direction(**changes):
    values = dict(name="d", vector=torch.randn(1, 1, 12), generator="f" * 64, generator_name="linear", unit="one")
    return Direction(**{**values, **changes})


def test_a_direction_file_round_trips_bit_for_bit(tmp_path):
    direction = a_direction(layers=(1, 2), report={"pairs": 3})
    save_direction(tmp_path / "d.npz", direction)
    loaded = load_direction(tmp_path / "d.npz")
    assert torch.equal(loaded.vector, direction.vector)
    assert (loaded.name, loaded.layers, loaded.unit, loaded.report) == ("d", (1, 2), "one", {"pairs": 3})


def test_a_direction_of_another_generator_is_refused_with_both_named(tmp_path, linear_generator):
    save_direction(tmp_path / "d.npz", a_direction(generator="a" * 64, generator_name="theirs"))
    with pytest.raises(LatentMismatchError, match=r"theirs \(aaaa.*linear \(ffff"):
        find_direction(str(tmp_path / "d.npz"), linear_generator)
    save_direction(tmp_path / "d.npz", a_direction(vector=torch.randn(1, 1, 13)))
    with pytest.raises(LatentMismatchError, match="fit it again"):
        find_direction(str(tmp_path / "d.npz"), linear_generator)
    with pytest.raises(ConfigError, match="shipped for it: none"):
        find_direction("smile", linear_generator)


@pytest.mark.parametrize(
    "arrays",
    [
        {"w": np.ones(3)},
        {"direction": np.ones((1, 1, 3)), "about": "{"},
        {"direction": np.ones(3), "about": "{}"},
        {"direction": np.full((1, 1, 3), np.inf), "about": "{}"},
    ],
)
def test_damaged_directions_are_refused(tmp_path, arrays):
    np.savez(tmp_path / "d.npz", **arrays)
    with pytest.raises(LatentError, match=r"d\.npz"):
        load_direction(tmp_path / "d.npz")


def test_an_editor_keeps_its_origin_and_sums_its_edits(linear_generator):
    latent = Latent(WS, WS, generator="f" * 64)
    one, two = a_direction(), a_direction(name="e")
    editor = Editor(linear_generator, latent)
    edited = Editor(linear_generator, editor.apply(Transfer(one, 0.5)).latent).apply(Transfer(two, -1.0))
    moved = edited.latent
    assert_close(moved.ws, WS + 0.5 * one.vector - two.vector)
    assert torch.equal(moved.origin, WS)
    assert [edit["strength"] for edit in moved.report["edits"]] == [0.5, -1.0]
    assert torch.equal(editor.latent.ws, WS)
    assert_close(edited.edited, linear_generator.synthesis(moved.ws))
    assert_close(edited.inverted, linear_generator.synthesis(WS))


def test_the_shipped_smile_belongs_to_the_default_generator(faces64):
    direction = find_direction("smile", faces64)
    assert direction.report["held_out"] == 20
    assert direction.report["pairs"] == 61
