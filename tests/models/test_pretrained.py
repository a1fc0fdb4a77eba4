"""Folders of a model, here and on a hub of the test's own."""

import http.server
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import ClassVar

import pytest

from inversion.config import InvertConfig, ProjectionConfig
from inversion.invert import Inverter
from stylegan_core.checkpoints.load import load_generator
from stylegan_core.errors import ConfigError, OutputError, WeightsUnavailableError
from stylegan_core.models import local_file

DATA = Path(__file__).resolve().parent.parent / "data"
COMMIT = "a" * 40
OPTIONS = InvertConfig(
    generator=str(DATA / "sg2ada-32.pkl"), perceptual="squeeze-uncalibrated", device="cpu", faces="2"
)


@pytest.fixture
def folder(tmp_path):
    Inverter(OPTIONS, ProjectionConfig(steps=7)).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_a_folder_gives_back_what_was_saved(folder):
    found = Inverter.from_pretrained(folder, device="cpu")
    assert found.generator.meta.fingerprint == load_generator(DATA / "sg2ada-32.pkl").meta.fingerprint
    assert (found.projection.steps, found.config.faces, found.method) == (7, "2", "project")
    assert Inverter.from_pretrained(folder, device="cpu", steps=3, faces="all").projection.steps == 3
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "generator.safetensors"]


def test_an_encoder_goes_along(tmp_path):
    shipped = InvertConfig(generator="faces64", encoder=str(local_file_of_faces64()), device="cpu")
    inverter = Inverter(shipped)
    inverter.save_pretrained(tmp_path / "with")
    found = Inverter.from_pretrained(tmp_path / "with", device="cpu")
    assert found.config.encoder == str(tmp_path / "with" / "encoder.safetensors")
    assert found.method == "hybrid"


def local_file_of_faces64():
    from stylegan_core.assets import asset_path

    return asset_path("faces64_linear_encoder.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"generator": "../evil.pkl"}, "the name of a file beside it is expected"),
        ({"generator": "/etc/passwd"}, "the name of a file beside it is expected"),
        ({"encoder": ".."}, "the name of a file beside it is expected"),
        ({"generator": ""}, "the name of a file beside it is expected"),
        ({"generator": "other.pkl"}, "names other.pkl, which is not there"),
        ({"invertigo": 99}, "of format 99"),
        ({"invert": []}, "'invert' and 'projection' are expected"),
        ({"invert": {"unheard": 1}}, "unheard.*another version"),
    ],
)
def test_folders_that_cannot_be_right_are_refused(folder, change, message):
    about = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**about, **change}))
    with pytest.raises(ConfigError, match=message):
        Inverter.from_pretrained(folder)


def test_other_mistakes_are_sentences(folder, tmp_path):
    with pytest.raises(ConfigError, match="no option 'stepz'"):
        Inverter.from_pretrained(folder, stepz=3)
    with pytest.raises(ConfigError, match="no such folder"):
        Inverter.from_pretrained(tmp_path / "absent")
    with pytest.raises(ConfigError, match=r"no config\.json in it"):
        Inverter.from_pretrained(tmp_path)
    (folder / "config.json").write_text("{")
    with pytest.raises(ConfigError, match="not readable as JSON"):
        Inverter.from_pretrained(folder)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is a file"):
        Inverter(OPTIONS).save_pretrained(tmp_path / "file")


def test_names_on_the_hub_are_read_strictly():
    for text in ("hf:owner", "hf:owner/repo", "hf:owner/repo/../x", "hf:owner/repo/a//b", "hf:o/r/f@"):
        with pytest.raises(WeightsUnavailableError, match="expected hf:OWNER/REPO/FILE"):
            local_file(text)


def test_without_the_hub_s_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(WeightsUnavailableError, match=r"pip install 'invertigo\[hub\]'"):
        local_file("hf:owner/repo/net.pkl")


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of the hub as huggingface_hub asks for: a repository owner/model of the files in `files`."""

    protocol_version = "HTTP/1.1"
    files: ClassVar[dict[str, bytes]] = {}

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        parts = self.path.partition("?")[0].strip("/").split("/")
        headers, status, content = {}, 404, b"{}"
        if parts[:2] == ["owner", "model"] and parts[2] == "resolve" and parts[3] in ("main", "v1", COMMIT):
            content = self.files.get("/".join(parts[4:]), b"")
            status = 200 if content else 404
            headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{len(content)}"'}
            headers |= {} if content else {"X-Error-Code": "EntryNotFound"}
        elif parts[:4] == ["api", "models", "owner", "model"]:
            status = 200
            content = json.dumps({"id": "owner/model", "sha": COMMIT, "siblings": [
                {"rfilename": name} for name in self.files]}).encode()  # fmt: skip
            if "tree" in parts:
                content = json.dumps([
                    {"type": "file", "path": name, "size": len(data), "oid": "0"} for name, data in self.files.items()
                ]).encode()  # fmt: skip
        else:
            headers = {"X-Error-Code": "RepoNotFound"}
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        pass


@pytest.mark.parametrize("error", ["LocalEntryNotFoundError", "OfflineModeIsEnabled"])
def test_a_hub_that_does_not_answer_is_not_said_to_lack_the_file(error, monkeypatch):
    hub = pytest.importorskip("huggingface_hub")
    errors = pytest.importorskip("huggingface_hub.errors")

    def unreachable(**_):
        raise getattr(errors, error)("no connection")

    monkeypatch.setattr(hub, "hf_hub_download", unreachable, raising=False)
    with pytest.raises(WeightsUnavailableError, match="the hub does not answer"):
        local_file("hf:owner/repo/net.pkl")


CHILD = """
import json, sys
from inversion.invert import Inverter
from stylegan_core.checkpoints.load import load_generator
from stylegan_core.errors import ToolkitError
found = {}
for text in sys.argv[1:]:
    try:
        if text.startswith("hf:"):
            found[text] = load_generator(text).meta.fingerprint
        else:
            found[text] = Inverter.from_pretrained(text, device="cpu").generator.meta.fingerprint
    except ToolkitError as error:
        found[text] = str(error)
print(json.dumps(found))
"""


def ask_hub(port, *names):
    pytest.importorskip("huggingface_hub")
    # The studio's tests set HF_HUB_OFFLINE for the whole process.
    environment = {**os.environ, "HF_HUB_OFFLINE": "0", "HF_ENDPOINT": f"http://127.0.0.1:{port}",
                   "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1",
                   "HF_HUB_DISABLE_PROGRESS_BARS": "1"}  # fmt: skip
    result = subprocess.run(
        [sys.executable, "-c", CHILD, *names], env=environment, capture_output=True, text=True, check=True
    )
    return json.loads(result.stdout.splitlines()[-1])


def test_files_and_folders_come_from_a_hub_and_are_checked(folder, cache):
    Hub.files = {path.name: path.read_bytes() for path in folder.iterdir()}
    Hub.files["old/net.pkl"] = (DATA / "sg2ada-32.pkl").read_bytes()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        port = server.server_address[1]
        names = [f"hf:owner/model/{file}" for file in ("old/net.pkl", "old/net.pkl@v1", "none.pkl")]
        names = [*names[:2], "owner/model", names[2], "hf:nobody/model/net.pkl"]
        found = ask_hub(port, *names)
        fingerprint = load_generator(DATA / "sg2ada-32.pkl").meta.fingerprint
        assert [found[name] for name in names[:3]] == [fingerprint] * 3
        assert "no such file on the hub" in found[names[3]]
        assert "no such repository on the hub" in found[names[4]]
        (kept,) = cache.rglob("snapshots/*/old/net.pkl")
        blob = kept.resolve()
        data = bytearray(blob.read_bytes())
        data[100] ^= 1
        blob.write_bytes(data)
        assert "changed or damaged" in ask_hub(port, names[0])[names[0]]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
