"""`--keep border`: an edit that leaves the picture's rim where it is."""

import pytest
import torch
from click.testing import CliRunner

from editing.border import BOUND, RIM, face_of, fade_rim, hold_border, rim_change, rim_of
from editing.codes import open_code
from editing.editor import Editor
from editing.operations.crossover import Crossover
from editing.operations.drag import Drag
from editing.operations.measures import SetExpression, SetMeasures
from editing.operations.pair import TransferFrom
from editing.operations.transfer import Transfer
from editing.operations.truncate import Truncate
from editing.recipe import format_recipe, parse_recipe
from editing.video import repeat_first
from inversion.latents import load_latent, save_latent
from stylegan_core.errors import ConfigError
from stylegan_core.networks.protocol import Alignment


def test_the_rim_stays_and_the_face_changes_as_it_did(faces64):
    latent, smile = open_code("3", faces64), Transfer("smile", 1.0)
    editor, face = Editor(faces64, latent), face_of(64, faces64.meta.alignment)
    free, held = (editor.apply(Transfer("smile", 1.0, keep=keep)) for keep in ("", "border"))
    before = free.inverted.clamp(-1, 1)
    plain, kept = (one.edited.clamp(-1, 1) for one in (free, held))
    assert rim_change(before, plain) > 2 * BOUND  # else there was nothing to hold
    assert rim_change(before, kept) <= BOUND
    done, undone = ((one - two).square().mean(dim=(0, 1))[face].mean() for one, two in ((plain, before), (kept, plain)))
    assert undone < 0.15 * done
    said = held.latent.report["edits"][-1]["border"]
    assert said["before"] == pytest.approx(rim_change(before, plain), abs=1e-4)
    assert said["after"] == pytest.approx(rim_change(before, kept), abs=1e-4)
    assert editor.apply(smile).latent.report["edits"][-1].keys() == free.latent.report["edits"][-1].keys()


def test_an_edit_that_leaves_the_rim_alone_is_left_alone():
    def render(ws):  # the rim is one number, the face another
        return ws[:, :1, :1, None] * rim_of(16) + ws[:, :1, 1:, None] * ~rim_of(16)

    ws, before = torch.tensor([[[0.1, 0.6]]]), torch.zeros(1, 1, 16, 16) + 0.1 * rim_of(16)
    found = hold_border(render, ws, before, torch.eye(2), Alignment())
    assert torch.equal(found.ws, ws) and found.after == found.before < 1e-6
    moved = hold_border(render, ws + torch.tensor([0.2, 0.0]), before, torch.eye(2), Alignment())
    assert moved.before == pytest.approx(0.1) and moved.after <= BOUND
    torch.testing.assert_close(moved.ws, ws, atol=0.02, rtol=0)


@pytest.mark.parametrize("change", [0.004, 0.02, 0.5])
def test_a_picture_fades_at_its_rim_no_more_than_it_has_to(change):
    before = torch.zeros(1, 3, 64, 64)
    after = before + 2 * change  # of a range of 2
    shown = fade_rim(before, after)
    place = (torch.arange(64) + 0.5) / 64
    inner = (place > RIM) & (place < 1 - RIM)
    assert torch.equal(shown[..., inner, :][..., inner], after[..., inner, :][..., inner])
    assert rim_change(before, shown) <= BOUND
    if change <= BOUND:
        assert torch.equal(shown, after)
    else:  # from the edge inwards
        row = shown[0, 0, 32, :32]
        assert float(row[0]) < 0.1 * change and bool((row.diff() >= -1e-6).all())


def test_what_a_code_cannot_hold_fades_in_the_picture_and_is_told(faces64, monkeypatch):
    monkeypatch.setattr("editing.border.STEPS", 2)
    editor = Editor(faces64, open_code("3", faces64))
    face = editor.apply(Truncate(0.2, keep="border"))
    said = face.latent.report["edits"][-1]["border"]
    assert said["after"] <= BOUND < said["code"] < said["before"] and f"leaves {said['after']:.4f}" in face.notes[-1]
    assert rim_change(face.inverted.clamp(-1, 1), face.edited.clamp(-1, 1)) <= BOUND + 1e-6
    assert rim_change(face.inverted.clamp(-1, 1), face.rendered.clamp(-1, 1)) > BOUND
    both = editor.apply(Truncate(0.2, keep="border"), Transfer("smile", 1.0))  # the other edit may change the rim
    assert torch.equal(both.edited, both.rendered)


def test_every_operation_can_keep_the_border_and_says_so_in_a_recipe(faces64):
    text = '[[edit]]\nset = "mouth-width=0.9"\nkeep = "border"\n'
    recipe = parse_recipe(text)
    assert recipe.edits == (SetMeasures("mouth-width=0.9", keep="border"),)
    assert parse_recipe(format_recipe(recipe)) == recipe and "keeping border" in " ".join(recipe.describe())
    with pytest.raises(ConfigError, match="line 3: keep 'age' is unknown; expected one of , border"):
        parse_recipe(text.replace('"border"', '"age"'))
    made = [Transfer("smile", keep="border"), TransferFrom(("1", "2"), keep="border"), Truncate(0.5, keep="border"),
            Crossover("4", "fine", keep="border"), SetExpression("smile", keep="border"),
            Drag("1,2:3,4", keep="border")]  # fmt: skip
    editor = Editor(faces64, open_code("3", faces64))
    for operation in made[2:4]:
        assert "border" in editor.apply(operation).latent.report["edits"][-1]
    for operation in made:
        edit = operation.resolve(faces64, lambda text: open_code(text, faces64))
        assert not edit.steady and repeat_first(edit).steady == (not isinstance(operation, Truncate | Crossover))


def test_a_command_keeps_directions_for_transfers_and_the_border_for_all(faces64, tmp_path):
    import cli

    save_latent(tmp_path / "a.npz", open_code("3", faces64))
    words = ["edit", tmp_path / "a.npz", "--transfer", "smile:0.5", "--truncate", 0.8, "--keep", "age,border",
             "--generator", "faces64", "--out", tmp_path / "out"]  # fmt: skip
    result = CliRunner().invoke(cli.main, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    edits = load_latent(tmp_path / "out" / "a" / "face0" / "latent.npz").report["edits"]
    assert [edit["border"]["after"] <= edit["border"]["before"] for edit in edits] == [True, True]
    assert edits[0]["keep"] == "age,border"
