"""Help that can be read: groups, everyday options first, examples that work, completion."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import cli

ROOT = Path(__file__).resolve().parent.parent
CONTEXT = click.Context(cli.main)
PROGRAMS = {"invertigo": cli.main, **{name: cli.main.get_command(CONTEXT, name) for name in ("invert", "edit")}}


def commands(group, name):
    for key in group.list_commands(CONTEXT):
        command = group.get_command(CONTEXT, key)
        if isinstance(command, click.Group):
            yield from commands(command, f"{name} {key}")
        else:
            yield f"{name} {key}", command


EVERY = dict(commands(cli.main, "invertigo"))


def test_every_module_of_a_command_has_a_line_of_help():
    others = {"__init__", "declare", "groups", "shared_options", "editing"}
    modules = {path.stem for path in (ROOT / "invertigo" / "commands").glob("*.py")} - others
    assert {name.replace("-", "_") for name in cli.LINES} == modules
    assert all(f"  {name} " in shown("--help") and line in shown("--help") for name, line in cli.LINES.items())


def shown(*words):
    return CliRunner().invoke(cli.main, list(words)).output


@pytest.mark.parametrize("name", EVERY)
def test_every_commands_help_ends_with_two_examples_whose_words_it_takes(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = EVERY[name].help.partition("Examples:\n")[2].strip().splitlines()
    assert len(lines) == 2
    for line in lines:
        program, *words = shlex.split(line.partition(" >")[0])
        for word in words:
            if "." in word and "/" not in word:  # files that the example supposes to be there
                Path(word).touch()
        command = PROGRAMS[program]
        while isinstance(command, click.Group):
            known = command.get_command(CONTEXT, words[0])
            _, command, words = command.resolve_command(click.Context(command), words if known else ["run", *words])
        assert command is EVERY[name]
        command.make_context(program, words)  # refuses an option or a value that there is not


@pytest.mark.parametrize("name", ["edit", "invert", "video", "interpolate", "studio"])
def test_everyday_options_come_in_groups_and_the_rest_by_help_all(name):
    short, long = shown(name, "--help"), shown(name, "--help-all")
    for heading in ("Faces and generator:", "How the code is searched for:"):
        assert heading in short
    assert "--lambda-wplus" not in short
    assert "--help-all" in short
    options = [item for item in EVERY[f"invertigo {name}"].params if isinstance(item, click.Option) and not item.hidden]
    assert len(options) > 20
    assert all(option.opts[0] in long for option in options)
    assert sum(option.opts[0] in short.split() for option in options) <= 30


def test_a_command_with_few_options_shows_all_of_them():
    assert "--help-all" not in shown("mix", "--help")
    assert "--layers" in shown("mix", "--help")


@pytest.mark.parametrize("name", ["edit", "invert"])
def test_no_private_word_stands_alone(name):
    words = shown(name, "--help-all").lower().replace("--judge", "").replace("--leak", "").split()
    assert not {"judge", "judge;", "leak", "floor"} & set(words)


def test_a_direction_given_as_a_command_is_offered_as_an_edit():
    result = CliRunner().invoke(cli.main, ["smile"])
    assert result.exit_code == 2
    assert "edit PHOTO --transfer smile" in result.output
    assert "did you mean invert?" in shown("inver")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_name_all_programs(shell):
    text = shown("completion", shell)
    assert all(f"_{name.upper()}_COMPLETE" in text for name in PROGRAMS)


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_completion_completes(tmp_path):
    script = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import cli; cli.main(prog_name='invertigo')"
    environment = {
        **os.environ,
        "_INVERTIGO_COMPLETE": "bash_complete",
        "COMP_WORDS": "invertigo cross",
        "COMP_CWORD": "1",
    }
    found = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert "crossover" in found.stdout


def test_directions_are_listed_by_what_a_person_sees():
    lines = shown("directions", "list").splitlines()
    assert [line.partition(":")[0] for line in lines[:4]] == ["smile", "happy", "surprised", "age"]
    assert "more masculine, - more feminine" in shown("directions", "list")
    assert "mean difference" not in lines[0]


def test_the_studios_sliders_come_in_the_same_order_and_end_where_edits_break():
    from editing.studio.offer import offered
    from stylegan_core.assets import embedded_generators

    meta = type("Meta", (), {"fingerprint": embedded_generators()["faces64"], "name": "faces64"})
    generator = type("Generator", (), {"meta": meta, "w_dim": 256, "num_ws": 10})
    dials = offered(type("Session", (), {"generator": generator, "own": {}}))  # type: ignore[arg-type]
    assert [dial.name for dial in dials[:4]] == ["smile", "happy", "surprised", "age"]
    assert (dials[0].ends, dials[0].info) == ((-1.0, 1.5), "+ a smile that shows teeth, - closed, serious lips")
