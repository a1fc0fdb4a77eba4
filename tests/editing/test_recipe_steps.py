"""Recipes written by the studio, and the crossover step."""

from dataclasses import replace

import pytest
import torch

from editing.crossover import crossover
from editing.editor import Editor
from editing.pipeline import EditPipeline, apply_step
from editing.recipe import EditStep, OutputConfig, Recipe, format_recipe, parse_recipe
from editing.sheets import open_code
from inversion.batch.items import Limits
from inversion.config import InvertConfig, ProjectionConfig
from inversion.latents import save_latent
from stylegan_core.errors import ConfigError, LatentMismatchError

AWKWARD = 'C:\\faces\\my "own"\t# = é 😀\x7f\n[x].npz'


def test_a_written_recipe_reads_back_as_it_was():
    recipe = Recipe(
        InvertConfig(generator=AWKWARD, faces="face0,face2", align=False),
        ProjectionConfig(steps=7, lr=1e-5, optimise_noise=False, seed=3),
        (EditStep("smile", -0.35), EditStep(AWKWARD, 2), EditStep(crossover="7", layers="0,1"), EditStep(truncate=0.5)),
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
        child = apply_step(Editor(faces64, one), EditStep(crossover=name, layers="0-1,3"))
        assert torch.equal(child.ws, crossover(one.ws, other.ws, [0, 1, 3]))
    whole = apply_step(Editor(faces64, one), EditStep(crossover="4"))
    assert torch.equal(whole.ws, other.ws)


def test_a_transfer_step_moves_the_layers_it_names(faces64):
    one = open_code("3", faces64)
    moved = apply_step(Editor(faces64, one), EditStep("smile", 1.0, "2-3")).ws - one.ws
    assert moved[0, 2:4].abs().amax(dim=1).min() > 0
    moved[:, 2:4] = 0
    assert moved.abs().max() == 0


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (EditStep(crossover="nothing.npz"), "nothing.npz"),
        (EditStep(crossover="3", layers="90"), "layers '90'"),
        (EditStep("smile", layers="top"), "layers 'top'"),
    ],
)
def test_a_step_that_cannot_work_is_refused_before_any_photo(step, message):
    with pytest.raises(ConfigError, match=message):
        pipeline = EditPipeline(Recipe(edits=(step,)))
        assert pipeline.key
        pipeline.open()


def test_a_latent_of_another_generator_is_refused_as_crossover(faces64, tmp_path):
    save_latent(tmp_path / "other.npz", replace(open_code("4", faces64), generator="0" * 64))
    with pytest.raises(LatentMismatchError, match=r"other\.npz"):
        EditPipeline(Recipe(edits=(EditStep(crossover=str(tmp_path / "other.npz")),))).open()


def test_another_crossover_file_is_another_run(faces64, tmp_path):
    pipeline = EditPipeline(Recipe(edits=(EditStep(crossover=str(tmp_path / "other.npz")),)))
    keys = set()
    for seed in ("4", "5"):
        save_latent(tmp_path / "other.npz", open_code(seed, faces64))
        keys.add(pipeline.key)
    assert len(keys) == 2
