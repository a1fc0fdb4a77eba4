"""The package that people import: lazy, and the same pixels as the commands."""

import importlib.util
import json
import pydoc
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import cli
import editing
import inversion
import invertigo
import stylegan_core
from invertigo import (
    Crossover,
    Editor,
    EditPipeline,
    InvertConfig,
    Inverter,
    ProjectionConfig,
    ToolkitError,
    Transfer,
    Truncate,
    edit_photo,
    find_direction,
    read_photo,
)  # fmt: skip

ROOT = Path(__file__).resolve().parents[1]


def python(*words, cwd=ROOT, path=ROOT, code=0):
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(path), "HOME": str(cwd)}
    result = subprocess.run([sys.executable, *words], capture_output=True, text=True, cwd=cwd, env=environment)
    assert result.returncode == code, result.stderr
    return result


def test_importing_loads_no_torch_and_every_name_is_there():
    heavy = "('torch', 'numpy', 'cv2', 'lpips', 'click')"
    for package in ("invertigo", "inversion", "editing", "stylegan_core"):
        said = python("-c", f"import sys, {package}; print([m for m in {heavy} if m in sys.modules])").stdout
        assert said.strip() == "[]", package
    for package in (invertigo, inversion, editing, stylegan_core):
        assert package.__all__ == dir(package)
        assert all(getattr(package, name).__doc__ for name in package.__all__)
        with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
            _ = package.Nothing
    assert set(editing.__all__) | set(inversion.__all__) < set(invertigo.__all__)


def test_help_names_what_there_is():
    text = pydoc.plain(pydoc.render_doc(invertigo))
    for words in (
        'edit_photo("photo.jpg", "smiling.jpg", smile=0.8)',
        "class Inverter",
        "class Transfer",
        "invert(se",
    ):
        assert words in text


def test_the_page_of_the_api_is_current():
    spec = importlib.util.spec_from_file_location("make_api", ROOT / "docs" / "make_api.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text(encoding="utf-8") == module.page(), "run python docs/make_api.py"


@pytest.fixture(scope="module")
def inverter():
    return Inverter(InvertConfig(), ProjectionConfig(steps=2))


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB"))


def test_an_edit_gives_the_same_pixels_from_python_the_command_a_batch_and_the_studio(
    inverter, astronaut_file, tmp_path
):
    from editing.recipe import parse_recipe
    from editing.studio.dials import Dials
    from editing.studio.searches import SearchChoice
    from editing.studio.session import Session
    from inversion.batch import Item

    threads = torch.get_num_threads()
    face = inverter.invert(astronaut_file)[0]
    edited = Editor(inverter.generator, face.latent).apply(Transfer("smile", -0.8), Truncate(0.9)).paste()
    assert torch.get_num_threads() == threads
    assert (edited.rgb != edited.photo.rgb).any()

    words = ["--steps", "2", "--transfer", "smile:-0.8", "--truncate", "0.9", "--out", str(tmp_path / "c")]
    result = CliRunner().invoke(cli.main, ["edit", str(astronaut_file), *words])
    assert result.exit_code == 0, result.output
    assert (pixels(tmp_path / "c" / "astronaut" / "face0" / "photo_edited.png") == edited.rgb).all()

    text = "[invert]\nsteps = 2\n[[edit]]\ntransfer = 'smile'\nstrength = -0.8\n[[edit]]\ntruncate = 0.9\n"
    (done,) = EditPipeline(parse_recipe(text)).open()([Item(0, str(astronaut_file), "a")], tmp_path / "b")
    assert done.done, done.traceback
    assert (pixels(tmp_path / "b" / "a" / "face0" / "photo_edited.png") == edited.rgb).all()

    session = Session(inverter, tmp_path / "s", 10_000_000)
    session.load_photo(astronaut_file)
    config, search = inverter.config, inverter.settled
    session.start_inversion([0], SearchChoice(config.method, search.space, search.steps, search.seed)).result()
    session.settle(Dials((("smile", -0.8),), psi=0.9))
    assert (session.result()[0] == edited.rgb).all()
    session.close()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_what_is_saved_says_that_it_is_edited(inverter, astronaut_file, tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    edited = edit_photo(astronaut_file, path, inverter=inverter, smile=-0.5)
    data = path.read_bytes()
    assert b"compositeWithTrainedAlgorithmicMedia" in data
    assert b"not an unaltered photograph" in data
    loose = 0 if suffix == ".png" else 12
    assert np.abs(pixels(path).astype(int) - edited.rgb).mean() <= loose / 4


def test_what_cannot_be_written_or_found_is_said(inverter, astronaut_file, tmp_path):
    edited = edit_photo(astronaut_file, inverter=inverter, smile=0.0)
    assert (edited.rgb == read_photo(astronaut_file).rgb).all()
    with pytest.raises(ToolkitError, match=r"\.png, .*\.webp, not as '\.bmp'"):
        edited.save(tmp_path / "x.bmp")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ToolkitError, match="nothing to do"):
        edit_photo(astronaut_file, inverter=inverter)
    with pytest.raises(ToolkitError, match="not known or has moved"):
        Editor(inverter.generator, _seed(inverter.generator)).apply().paste()
    with pytest.raises(ToolkitError, match="no direction 'grin'"):
        edit_photo(astronaut_file, inverter=inverter, grin=1.0)


def _seed(generator):
    from editing.codes import open_code

    return open_code("3", generator)


def test_codes_and_directions_may_be_values(inverter):
    generator = inverter.generator
    one, other = _seed(generator), Editor(generator, _seed(generator)).apply(Truncate(0.5)).latent
    assert torch.equal(Editor(generator, one).apply(Crossover(other)).latent.ws, other.ws)
    smile = find_direction("smile", generator)
    by_value, by_name = (Editor(generator, one).apply(Transfer(what, 0.5)).latent for what in (smile, "smile"))
    assert torch.equal(by_value.ws, by_name.ws)
    assert by_value.report == by_name.report
    json.dumps(by_value.report)


def test_a_generator_s_name_is_enough_and_methods_take_their_own_steps():
    assert Inverter("faces64").generator.img_resolution == 64
    assert Inverter(InvertConfig(method="reference", generator="faces64")).settled.steps == 1000


def test_a_module_of_another_distribution_in_the_way_is_named_in_a_sentence(tmp_path):
    (tmp_path / "editing").mkdir()
    (tmp_path / "editing" / "__init__.py").write_text("")
    path = f"{tmp_path}:{ROOT}"
    failed = python("-m", "invertigo", "--help", cwd=tmp_path, path=path, code=1)
    assert failed.stderr.count("\n") == 1
    assert "'editing' is hidden by" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert "is hidden by" in python("-c", "from invertigo import Editor", cwd=tmp_path, path=path, code=1).stderr
    assert "Usage" in python("-m", "invertigo", "--help").stdout
