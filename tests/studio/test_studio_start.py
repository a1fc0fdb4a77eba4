"""The command itself: what it says when it cannot start."""

import socket
import sys

from click.testing import CliRunner

import cli
from editing.studio.serve import check_port


def test_without_gradio_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    result = CliRunner().invoke(cli.main, ["studio", "--no-browser", "--port", "0"])
    assert result.exit_code == 2
    assert "pip install 'invertigo[studio]'" in result.output


def test_a_port_that_is_taken_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = CliRunner().invoke(cli.main, ["studio", "--no-browser", "--port", str(port)])
    assert result.exit_code == 2
    assert f"127.0.0.1:{port}" in result.output
    assert "choose another --port" in result.output
    check_port("127.0.0.1", 0)
