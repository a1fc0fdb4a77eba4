"""Progress bars: on a terminal, and nowhere once a command is to be quiet."""

import io
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

import cli
import inversion.sample
from stylegan_core.console import Console
from stylegan_core.progress import bars_silenced, progress_bar

ROOT = Path(__file__).resolve().parent.parent


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def drawn(**options: object) -> str:
    terminal = Terminal()
    assert list(progress_bar(range(3), file=terminal, **options)) == [0, 1, 2]
    return terminal.getvalue()


def test_a_bar_shows_on_a_terminal_unless_silenced() -> None:
    assert "3/3" in drawn(desc="steps")
    assert drawn(show=False) == ""
    assert list(progress_bar(range(3), file=io.StringIO())) == [0, 1, 2]
    with bars_silenced(True):
        assert drawn() == ""
        with bars_silenced(False):
            assert drawn() == ""
        found: list[str] = []
        thread = threading.Thread(target=lambda: found.append(drawn()))
        thread.start()
        thread.join()
        assert found == [""]
    assert "3/3" in drawn()


@pytest.mark.parametrize(("words", "bar"), [(["--quiet"], False), ([], True)])
def test_quiet_reaches_the_bars_of_every_command(words, bar, tmp_path, monkeypatch) -> None:
    shown = []
    monkeypatch.setattr(inversion.sample, "write_sample", lambda path: shown.append(drawn()) or path)
    assert CliRunner().invoke(cli.main, ["sample", str(tmp_path / "a.png"), *words]).exit_code == 0
    assert bool(shown[0]) == bar
    assert "3/3" in drawn()


def test_a_quiet_console_draws_no_bar(monkeypatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    for quiet in (True, False):
        with Console(quiet=quiet).progress("search", 2) as update:
            update(1, 0.5)
        with Console(quiet=quiet).counter("photos", 2) as count:
            count(2, 0)
        assert bool(terminal.getvalue()) != quiet


def test_every_bar_is_drawn_in_one_place() -> None:
    """A bar made elsewhere would not hear of --quiet."""
    for package in ("stylegan_core", "inversion", "editing"):
        for path in (ROOT / package).rglob("*.py"):
            assert path.name == "progress.py" or "import tqdm" not in path.read_text(), path
