"""Operations: one module and one line in the registry, and then every way in knows it."""

import gc
import importlib.util
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from torch.testing import assert_close

from editing.codes import code_opener, open_code
from editing.editor import Editor
from editing.operations.base import Edit, Operation
from editing.operations.crossover import Crossover
from editing.operations.fields import layers_option
from editing.operations.pair import TransferFrom
from editing.operations.registry import OPERATIONS
from editing.operations.render import Render
from editing.operations.transfer import Transfer
from editing.operations.truncate import Truncate
from editing.pipeline import EditPipeline
from editing.recipe import format_recipe, parse_recipe
from inversion.batch import Item
from inversion.latents import load_latent, save_latent
from stylegan_core.errors import ConfigError
from stylegan_core.images import read_photo, to_uint8
from stylegan_core.options import option

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Stretch(Operation):
    """Move away from the mean: ws + stretch * (ws - w_avg). It knows nothing of the ways it is asked for."""

    key: ClassVar[str] = "stretch"
    stretch: float = option(0.0, "how far, in distances from the mean", least=-1, most=1)
    layers: str = layers_option()

    def resolve(self, generator, open_code):
        from editing.layers import parse_layers

        layers = parse_layers(self.layers or "all", generator.num_ws)

        def apply(ws, render):
            moved = ws.clone()
            moved[:, layers] += self.stretch * (ws - generator.w_avg)[:, layers]
            return moved, {"edits": [{"stretch": self.stretch}]}

        return Edit(self.label, apply)


@pytest.fixture
def command(monkeypatch):
    """The command line as it is where the registry has one more line."""
    monkeypatch.setitem(OPERATIONS, "stretch", Stretch)
    for name in [name for name in sys.modules if name.startswith("invertigo.commands.")]:
        monkeypatch.delitem(sys.modules, name)  # so that their options are made anew
    spec = importlib.util.spec_from_file_location("cli_with_stretch", ROOT / "cli.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def run(*words, code=0):
        result = CliRunner().invoke(module.main, [str(word) for word in words])
        assert result.exit_code == code, result.output
        return result

    return run


def stretched(ws, generator, amount=0.5):
    return ws + amount * (ws - generator.w_avg)


def test_a_new_operation_works_in_edit(command, faces64, tmp_path):
    latent = open_code("3", faces64)
    save_latent(tmp_path / "code.npz", latent)
    words = ["edit", tmp_path / "code.npz", "--generator", "faces64", "--stretch", 0.5, "--layers", "coarse"]
    command(*words, "--out", tmp_path / "out")
    edited = load_latent(tmp_path / "out" / "code" / "face0" / "latent.npz")
    assert_close(edited.ws[:, :4], stretched(latent.ws, faces64)[:, :4])
    assert torch.equal(edited.ws[:, 4:], latent.ws[:, 4:])
    assert edited.report["edits"] == [{"stretch": 0.5}]
    assert (
        "stretch 3 is too large; expected 1 at most"
        in command(*words[:4], "--stretch", 3, "--out", tmp_path / "x", code=2).stderr
    )
    assert "is no float" in command(*words[:4], "--stretch", "far", "--out", tmp_path / "x", code=2).stderr


def test_a_new_operation_works_in_recipes(command, faces64, astronaut, tmp_path):
    text = '[invert]\ngenerator = "faces64"\nsteps = 0\n\n[[edit]]\nstretch = 0.5\n'
    recipe = parse_recipe(text)
    assert parse_recipe(format_recipe(recipe)) == recipe
    assert any("stretch 0.5" in line for line in recipe.describe())
    with pytest.raises(ConfigError, match=r"line 6: stretch 7 is too large; expected 1 at most"):
        parse_recipe(text.replace("0.5", "7"))
    with pytest.raises(ConfigError, match=r"line 7: psi is unknown in \[edit\]; expected .*stretch"):
        parse_recipe(text + "psi = 1")
    Image.fromarray(astronaut[:220, 120:330]).save(tmp_path / "a.png")
    (result,) = EditPipeline(recipe).open()([Item(0, str(tmp_path / "a.png"), "a")], tmp_path / "out")
    assert result.done, result.traceback
    latent = load_latent(tmp_path / "out" / "a" / "face0" / "latent.npz")
    assert_close(latent.ws, stretched(latent.origin, faces64))


def test_a_new_operation_works_in_videos(command, faces64, astronaut, tmp_path):
    (tmp_path / "in").mkdir()
    for index in range(2):
        Image.fromarray(astronaut[:220, 120:330]).save(tmp_path / "in" / f"{index}.png")
    words = ["--generator", "faces64", "--steps", 1, "--passes", 1, "--paste", "none", "--stretch", 0.5]
    command("video", tmp_path / "in", *words, "--out", tmp_path / "out")
    latent = load_latent(tmp_path / "out" / "latents" / "00001.npz")
    with torch.no_grad():
        expected = to_uint8(faces64.synthesis(stretched(latent.ws, faces64)))[0]
    frame = np.asarray(Image.open(tmp_path / "out" / "frames" / "00001.png"))
    assert np.abs(frame.astype(int) - expected).max() <= 1


def test_a_new_operation_works_between_codes(command, faces64, tmp_path):
    words = ["interpolate", 1, 2, "--frames", 2, "--generator", "faces64", "--stretch", -0.5]
    command(*words, "--out", tmp_path)
    with torch.no_grad():
        code = open_code("1", faces64).ws
        plain, edited = (to_uint8(faces64.synthesis(ws))[0] for ws in (code, stretched(code, faces64, -0.5)))
    with Image.open(tmp_path / "interpolation.gif") as film:
        film.seek(0)
        frame = np.asarray(film.convert("RGB").resize((64, 64), Image.Resampling.BOX)).astype(float)
    assert np.abs(frame - edited).mean() < 5 < np.abs(frame - plain).mean()  # a GIF has 256 colours


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # gradio leaves its event loops open
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_new_operation_works_in_the_studio(command, astronaut_file, tmp_path):
    gr = pytest.importorskip("gradio")
    from editing.studio.controls import read_dials
    from editing.studio.dials import Dials
    from editing.studio.offer import offered, other_operations
    from editing.studio.offer import still as at_rest
    from editing.studio.page import build_page
    from editing.studio.searches import SearchChoice
    from editing.studio.sessions import Sessions
    from inversion.config import InvertConfig, ProjectionConfig
    from inversion.faces.measures import MEASURES
    from inversion.invert import Inverter

    inverter = Inverter(InvertConfig(generator="faces64"), ProjectionConfig(steps=0))
    sessions = Sessions(inverter, tmp_path, 10_000_000)
    page = build_page(sessions)
    (slider,) = [block for block in page.blocks.values() if getattr(block, "elem_id", None) == "stretch"]
    assert isinstance(slider, gr.Slider)
    assert (slider.minimum, slider.maximum, slider.value) == (-1, 1, 0)
    session = sessions.of("tab")
    session.load_photo(astronaut_file)
    session.start_inversion([0], SearchChoice("project", "w+", 0, 0)).result()
    still: list = [0] * len(offered(session))
    still += [[], 0, [], 1.0, "auto", [], False, *[0.0] * len(MEASURES)]
    others = [0.5 if key == "stretch" else at_rest(key) for key in other_operations()]
    dials = read_dials(session, (*still, *others))
    assert dials == Dials(others=(("stretch", 0.5),))
    assert read_dials(session, (*still, *map(at_rest, other_operations()))) == Dials()
    session.settle(dials)
    latent = session.edited_latents()[0]
    assert_close(latent.ws, stretched(latent.origin, inverter.generator))
    assert session.recipe().edits == (Stretch(0.5),)
    session.close()
    del page, slider
    gc.collect()  # so that what gradio left open is reported here


def test_the_registry_knows_every_operation_by_its_key():
    assert [kind.key for kind in OPERATIONS.values()] == list(OPERATIONS)


def test_one_command_applies_operations_of_every_kind(faces64, tmp_path):
    import cli

    codes = [open_code(str(seed), faces64) for seed in (3, 4)]
    for name, code in zip("ab", codes, strict=True):
        save_latent(tmp_path / f"{name}.npz", code)
    words = ["--transfer", "smile:0.5", "--transfer-from", tmp_path / "a.npz", "4", "--strength", 0.25,
             "--crossover", "5@fine", "--truncate", 0.5, "--cutoff", 2]  # fmt: skip
    words = ["edit", tmp_path / "a.npz", *words, "--generator", "faces64", "--out", tmp_path / "out"]
    result = CliRunner().invoke(cli.main, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    expected = Editor(faces64, codes[0]).apply(
        Transfer("smile", 0.5), TransferFrom((codes[0], codes[1]), 0.25), Crossover("5", "fine"), Truncate(0.5, 2)
    )
    edited = load_latent(tmp_path / "out" / "a" / "face0" / "latent.npz")
    assert torch.equal(edited.ws, expected.latent.ws)
    kinds = [next(iter(edit)) for edit in edited.report["edits"]]
    assert kinds == ["transfer", "transfer_from", "crossover", "truncate"]
    assert "smile 0.5 + expression 0.25 + layers fine of seed 5 + psi 0.5" in result.output


def test_an_earlier_option_name_still_works_with_a_notice(faces64, tmp_path):
    import cli

    save_latent(tmp_path / "a.npz", open_code("3", faces64))
    words = ["edit", tmp_path / "a.npz", "--transfer", "smile:auto", "--generator", "faces64", "--out", tmp_path / "o"]
    result = CliRunner().invoke(cli.main, [*map(str, words), "--identity-floor", "0.04"])
    assert result.exit_code == 0, result.output
    assert "--identity-floor is now called --identity-ceiling" in result.stderr
    report = json.loads((tmp_path / "o" / "a" / "face0" / "report.json").read_text())
    assert report["strength_search"]["options"]["identity_ceiling"] == 0.04
    assert "--identity-floor" not in CliRunner().invoke(cli.main, ["edit", "--help"]).output


def test_films_refuse_what_is_looked_for_on_every_frame(tmp_path):
    import cli

    for words in (["smile:auto"], ["smile", "--keep", "identity"]):
        words = ["interpolate", "1", "2", "--out", str(tmp_path), "--transfer", *words]
        result = CliRunner().invoke(cli.main, words)
        assert result.exit_code == 2
        assert "would flicker" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_edit_can_look_at_the_pasted_photo(faces64, astronaut_file, tmp_path):
    from inversion.config import InvertConfig, ProjectionConfig
    from inversion.invert import Inverter

    inverter = Inverter(InvertConfig(generator="faces64"), ProjectionConfig(steps=0))
    photo = read_photo(astronaut_file)
    latent = inverter.invert_face(photo, inverter.align(photo)[0]).latent
    render = Render(inverter.generator, latent, photo)
    same, result = render.pasted(latent.ws)
    assert (same == photo.rgb).all()
    moved = Editor(inverter.generator, latent).apply(Transfer("smile", -1.0)).latent.ws
    rgb, result = render.pasted(moved)
    changed = (rgb != photo.rgb).any(axis=-1)
    assert 1000 < changed.sum() == result.pixels_changed
    assert not changed[result.mask == 0].any()
    ws = latent.ws.clone().requires_grad_(True)
    render(ws).mean().backward()
    assert float(ws.grad.abs().max()) > 0


def test_operations_are_equal_by_value_and_refuse_what_makes_no_sense(linear_generator):
    assert Transfer("smile", 0.5) == Transfer.parse("smile:0.5") != Transfer("smile", 0.4)
    for make in (lambda: Truncate(float("nan")), lambda: Transfer("smile", 101.0), lambda: TransferFrom(("a",)),
                 lambda: Transfer(3), lambda: Crossover("1", "top")):  # fmt: skip
        with pytest.raises(ConfigError):
            make()
    with pytest.raises(ConfigError, match="layers '9' go beyond this generator's"):
        Crossover("1", "9").resolve(linear_generator, code_opener(linear_generator))
