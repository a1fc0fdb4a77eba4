"""Recipes written by the studio, and the operations in them."""

from dataclasses import replace

import pytest
import torch

from editing.codes import open_code
from editing.crossover import crossover
from editing.editor import Editor
from editing.operations.crossover import Crossover
from editing.operations.transfer import Transfer
from editing.operations.truncate import Truncate
from editing.pipeline import EditPipeline
from editing.recipe import OutputConfig, Recipe, format_recipe, parse_recipe
from inversion.config import InvertConfig, ProjectionConfig
from inversion.latents import save_latent
from inversion.limits import Limits
from stylegan_core.errors import ConfigError, LatentMismatchError

AWKWARD = 'C:\\faces\\my "own"\t# = é 😀\x7f\n[x].npz'


def test_a_written_recipe_reads_back_as_it_was():
    recipe = Recipe(
        InvertConfig(generator=AWKWARD, faces="face0,face2", align=False),
        ProjectionConfig(steps=7, lr=1e-5, optimise_noise=False, seed=3),
        (Transfer("smile", -0.35), Transfer(AWKWARD, 2.0), Crossover("7", "0,1"), Truncate(0.5)),
        OutputConfig("full"),
        Limits(max_faces=3, max_seconds=0.1),
    )
    assert parse_recipe(format_recipe(recipe)) == recipe
    assert parse_recipe(format_recipe(Recipe())) == Recipe()


def test_a_written_recipe_names_what_decides_the_result_even_at_its_default():
    text = format_recipe(Recipe())
    assert all(f"\n{name} = " in text for name in ("generator", "method", "steps", "seed"))
    assert "lambda_mse" not in text


def test_a_crossover_step_takes_the_layers_of_a_seed_or_a_file(faces64, tmp_path):
    one, other = open_code("3", faces64), open_code("4", faces64)
    save_latent(tmp_path / "other.npz", other)
    for name in ("4", str(tmp_path / "other.npz")):
        child = Editor(faces64, one).apply(Crossover(name, "0-1,3")).latent
        assert torch.equal(child.ws, crossover(one.ws, other.ws, [0, 1, 3]))
    whole = Editor(faces64, one).apply(Crossover("4")).latent
    assert torch.equal(whole.ws, other.ws)


def test_a_transfer_step_moves_the_layers_it_names(faces64):
    one = open_code("3", faces64)
    moved = Editor(faces64, one).apply(Transfer("smile", 1.0, "2-3")).latent.ws - one.ws
    assert moved[0, 2:4].abs().amax(dim=1).min() > 0
    moved[:, 2:4] = 0
    assert moved.abs().max() == 0


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (Crossover, ("nothing.npz",), "nothing.npz"),
        (Crossover, ("3", "90"), "layers '90'"),
        (Transfer, ("smile", 1.0, "top"), "layers 'top'"),
        (Transfer, ("smile", 1000.0), "strength 1000 is too large"),
    ],
)
def test_an_edit_that_cannot_work_is_refused_before_any_photo(kind, values, message):
    with pytest.raises(ConfigError, match=message):
        pipeline = EditPipeline(Recipe(edits=(kind(*values),)))
        assert pipeline.key
        pipeline.open()


def test_a_latent_of_another_generator_is_refused_as_crossover(faces64, tmp_path):
    save_latent(tmp_path / "other.npz", replace(open_code("4", faces64), generator="0" * 64))
    with pytest.raises(LatentMismatchError, match=r"other\.npz"):
        EditPipeline(Recipe(edits=(Crossover(str(tmp_path / "other.npz")),))).open()


def test_another_crossover_file_is_another_run(faces64, tmp_path):
    pipeline = EditPipeline(Recipe(edits=(Crossover(str(tmp_path / "other.npz")),)))
    keys = set()
    for seed in ("4", "5"):
        save_latent(tmp_path / "other.npz", open_code(seed, faces64))
        keys.add(pipeline.key)
    assert len(keys) == 2
