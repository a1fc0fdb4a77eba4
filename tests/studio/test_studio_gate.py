"""What the studio's web server gives away: the page, and nothing of the machine."""

import http.client
import json
import os
import stat
import urllib.parse

import pytest
from browser import ROOT, get

from editing.studio.gate import OPEN

SECRET = "only the owner of this machine may read this"


@pytest.fixture(scope="module")
def secret(tmp_path_factory):
    path = tmp_path_factory.mktemp("private") / "secret.txt"
    path.write_text(SECRET)
    return path


def raw(address, path, method="GET", body=None, **headers):
    """Ask for a path as it stands: nothing tidies the dots away."""
    parts = urllib.parse.urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    connection.putrequest(method, path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name, value)
    if body is not None:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    answer = connection.getresponse()
    found = answer.status, answer.read().decode("utf-8", "replace"), dict(answer.getheaders())
    connection.close()
    return found


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file={secret}", "/file={secret}", "/gradio_api/file/{secret}", "/gradio_api/file=//{secret}",
        "/gradio_api/file=cli.py", "/gradio_api/file=./cli.py", "/gradio_api/file={root}/cli.py",
        "/gradio_api/file=%2Fetc%2Fpasswd", "/gradio_api/file=http://127.0.0.1:1/x",
        "/static/../../../../../../../../..{secret}", "/assets/../../../../../../../../..{secret}",
        "/static/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e{secret}", "/assets/{secret}",
        "/svelte/..%2f..%2f..%2f..%2f..%2f..%2f..%2f..%2f{secret}", "/static//etc/passwd",
        "/gradio_api/proxy=http://127.0.0.1:1/", "/gradio_api/custom_component/1/client/component/{secret}",
        "/gradio_api/stream/a/b/1/playlist-file", "/monitoring", "/monitoring/summary", "/gradio_api/runs",
        "/gradio_api/vibe-code", "/gradio_api/dev/reload", "/docs", "/openapi.json", "/download/x/photo",
        "/download/..%2f..%2fx/photo", "/login", "/gradio_api/deep_link?session_hash=x",
    ],
)  # fmt: skip
def test_no_route_reads_a_file_of_the_machine(address, secret, path):
    status, body, _ = raw(address, path.format(secret=secret, root=ROOT))
    assert status in (403, 404, 405), body[:200]
    assert SECRET not in body
    assert "root:" not in body
    assert "click" not in body


def test_an_upload_is_not_served_back(address):
    boundary = "xyz"
    body = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\nx\r\n--{boundary}--\r\n'
    )
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    status, answer, _ = raw(address, "/gradio_api/upload", "POST", body.encode(), **headers)
    assert status == 200
    status, answer, _ = raw(address, f"/gradio_api/file={json.loads(answer)[0]}")
    assert (status, answer) == (404, "not found")


def test_an_event_cannot_name_a_file_that_was_not_uploaded(address, secret):
    page = get(f"{address}/config")[1]
    config = json.loads(page)
    upload = next(c["id"] for c in config["components"] if c["props"].get("elem_id") == "upload")
    event = next(d for d in config["dependencies"] if [upload, "upload"] in [list(t) for t in d["targets"]])
    data = [{"path": str(secret), "meta": {"_type": "gradio.FileData"}, "orig_name": "a.jpg"}, True]
    body = json.dumps({"data": data, "fn_index": event["id"], "session_hash": "abc"}).encode()
    raw(address, "/gradio_api/queue/join", "POST", body, **{"Content-Type": "application/json"})
    answer = get(f"{address}/gradio_api/queue/data?session_hash=abc")[1].decode()
    assert "process_completed" in answer
    assert '"success":false' in answer.replace(" ", "")
    assert SECRET not in answer
    assert secret.read_text() == SECRET  # nor was it deleted, as uploads are


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", ""])
def test_the_page_is_not_there_under_another_host_name(address, host):
    assert raw(address, "/", Host=host)[0] == 404
    assert raw(address, "/config", Host=host)[0] == 404


def test_the_policy_lets_the_page_load_nothing_from_elsewhere(address):
    status, body, headers = raw(address, "/")
    assert status == 200
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "http" not in policy
    assert "fonts.googleapis" not in body
    assert not [word for word in ("cdn.", "cdnjs") if word in body]


def test_the_server_listens_on_this_machine_only_and_asked_nobody_else(address, place):
    assert urllib.parse.urlsplit(address).hostname == "127.0.0.1"
    assert not (place / "outside.txt").exists(), (place / "outside.txt").read_text()


def test_the_folder_of_uploads_is_the_owner_s_alone(address, place):
    (folder,) = place.glob("tmp/invertigo-studio-*")
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700


@pytest.mark.parametrize(
    "path", ["/", "/config", "/assets/index-a1.js", "/gradio_api/queue/join", "/download/a_b-c/photo"]
)
def test_the_gate_opens_for_what_the_page_needs(path):
    assert OPEN.fullmatch(path)
