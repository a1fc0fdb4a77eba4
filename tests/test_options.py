from dataclasses import dataclass

import click
import pytest
from click.testing import CliRunner

import cli
from editing.recipe import parse_recipe
from inversion.config import InvertConfig, ProjectionConfig, TuneConfig
from stylegan_core.errors import ConfigError
from stylegan_core.options import Checked, option, options_from


@dataclass(frozen=True)
class Oven(Checked):
    """How to bake."""

    heat: float = option(180.0, "degrees", above=0, most=300)
    minutes: int = option(20, "minutes", least=1, was="mins")
    rack: str = option("middle", "where", choices=("low", "middle"))
    fan: bool = option(False, "with the fan")


@click.command()
@options_from(Oven, "oven")
def bake(oven: Oven) -> None:
    click.echo(repr(oven))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"heat": 0.0}, "--heat 0 .* more than 0"),
        ({"heat": 301.0}, "--heat 301 .* 300 at most"),
        ({"heat": float("nan")}, "--heat nan .* finite"),
        ({"minutes": 0}, "--minutes 0 .* 1 or more"),
        ({"rack": "top"}, "--rack 'top' .* low, middle"),
    ],
)
def test_what_a_field_does_not_take_is_refused_where_the_options_are_made(wrong, said):
    with pytest.raises(ConfigError, match=said):
        Oven(**wrong)


@pytest.mark.parametrize("words", [["--heat", "0"], ["--heat", "inf"], ["--minutes", "0"], ["--rack", "top"]])
def test_the_command_line_refuses_the_same_as_a_usage_error(words):
    result = CliRunner().invoke(bake, words)
    assert result.exit_code == 2
    assert words[0] in result.output


def test_bounds_themselves_and_aliases_are_taken():
    result = CliRunner().invoke(bake, ["--heat", "300", "--mins", "1", "--fan"])
    assert result.exit_code == 0
    assert "heat=300.0, minutes=1, rack='middle', fan=True" in result.output


@pytest.mark.parametrize("config", [InvertConfig, ProjectionConfig, TuneConfig])
def test_the_defaults_are_within_their_bounds(config):
    config()


def test_the_optimizer_s_old_spelling_still_works():
    assert parse_recipe('[invert]\noptimiser = "adam"').projection.optimizer == "adam"
    result = CliRunner().invoke(cli.main, ["invert", "nothing.jpg", "--optimiser", "newton"])
    assert result.exit_code == 2
    assert "newton" in result.output
