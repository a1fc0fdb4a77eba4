"""Models come whole, over https, once: what a server, a disk or another process may do wrong ends in a sentence."""

import hashlib
import json
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from file_server import send, serve

import cli
from editing.operations.transfer import Transfer
from stylegan_core.checkpoints.load import find_checkpoint, load_generator
from stylegan_core.errors import CheckpointError, OutputError, WeightsUnavailableError
from stylegan_core.models import is_remote, local_file
from stylegan_core.models.cache import cache_folder, read_record, record_path
from stylegan_core.models.fetch import download
from stylegan_core.models.registry import MODELS

BODY = bytes(range(256)) * 4000  # about a megabyte
PICKLE = Path(__file__).resolve().parent.parent / "data" / "sg2ada-32.pkl"


def files(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".lock"))


def test_a_file_comes_whole_once_and_is_recorded(server, cache):
    server.answers["a.pkl"] = serve(BODY)
    path = local_file(server.url("a.pkl"))
    assert path.read_bytes() == BODY
    assert path.parent == cache / "urls" and path.name.endswith("-a.pkl")
    record = read_record(path)
    assert record.sha256 == hashlib.sha256(BODY).hexdigest()
    assert (record.source, record.num_bytes) == (server.url("a.pkl"), len(BODY))
    assert local_file(server.url("a.pkl")) == path
    assert len(server.seen) == 1
    assert files(cache) == sorted([path.name, record_path(path).name])


def test_a_generator_is_loaded_by_its_address(server):
    server.answers["net.pkl"] = serve(PICKLE.read_bytes())
    remote, here = load_generator(server.url("net.pkl")), load_generator(PICKLE)
    assert remote.meta.fingerprint == here.meta.fingerprint


def test_a_broken_off_download_goes_on_where_it_stopped(server, tmp_path):
    def breaks_off(request, before):
        if before == 0:
            send(request, BODY[:300_000], length=len(BODY), ETag='"1"')
        else:
            serve(BODY)(request, before)

    server.answers["a"] = breaks_off
    download(server.url("a"), tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == BODY
    assert server.seen[1]["range"] == "bytes=300000-"
    assert files(tmp_path) == ["a"]


def test_a_truncated_file_is_never_taken_for_whole_and_a_later_run_goes_on(server, tmp_path):
    def always_short(request, before):
        body = BODY[300_000:300_000] if request.headers.get("Range") else BODY[:300_000]
        if request.headers.get("Range"):
            send(
                request, body, 206, length=len(BODY) - 300_000, ETag='"1"', Content_Range="bytes 300000-1023999/1024000"
            )
        else:
            send(request, body, length=len(BODY), ETag='"1"')

    server.answers["a"] = always_short
    with pytest.raises(WeightsUnavailableError, match=r"300,000 bytes are kept: run the same command again"):
        download(server.url("a"), tmp_path / "a")
    assert not (tmp_path / "a").exists()
    server.answers["a"] = serve(BODY)
    download(server.url("a"), tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == BODY
    assert server.seen[-1]["range"] == "bytes=300000-"


@pytest.mark.parametrize("etag", ['"2"', "W/1", ""])
def test_another_file_than_before_is_fetched_from_its_beginning(server, tmp_path, etag):
    server.answers["a"] = lambda request, before: send(request, b"old" * 100, length=5000, ETag='"1"')
    with pytest.raises(WeightsUnavailableError):
        download(server.url("a"), tmp_path / "a")
    server.answers["a"] = serve(BODY, etag)
    download(server.url("a"), tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == BODY


def test_a_server_that_sends_another_part_than_asked_for_is_not_believed(server, tmp_path):
    def shifted(request, before):
        if before == 0:
            send(request, BODY[:1000], length=len(BODY), ETag='"1"')
        elif before == 1:
            send(request, BODY[999:], 206, ETag='"1"', Content_Range=f"bytes 999-{len(BODY) - 1}/{len(BODY)}")
        else:
            serve(BODY)(request, before)

    server.answers["a"] = shifted
    download(server.url("a"), tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == BODY


def test_more_than_is_allowed_or_was_said_is_refused_and_not_kept(server, tmp_path):
    server.answers["stated"] = serve(BODY)
    with pytest.raises(WeightsUnavailableError, match=r"1,024,000 bytes, more than the 1,000 that are taken"):
        download(server.url("stated"), tmp_path / "a", max_bytes=1000)

    def endless(request, before):
        request.send_response(200)
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        for _ in range(100):
            request.wfile.write(b"%x\r\n%s\r\n" % (100_000, bytes(100_000)))
        request.wfile.write(b"0\r\n\r\n")

    server.answers["endless"] = endless
    with pytest.raises(WeightsUnavailableError, match=r"more came than the 2,000,000 bytes"):
        download(server.url("endless"), tmp_path / "a", max_bytes=2_000_000)
    assert not [name for name in files(tmp_path) if not name.endswith(".part.json")]


def test_only_https_is_followed(server, tmp_path):
    server.answers["down"] = lambda request, before: send(request, b"", 302, Location="http://127.0.0.1:9/x")
    with pytest.raises(WeightsUnavailableError, match=r"redirects to http://127\.0\.0\.1:9/x: only https"):
        download(server.url("down"), tmp_path / "a")
    server.answers["real"] = serve(BODY)
    server.answers["moved"] = lambda request, before: send(request, b"", 302, Location=server.url("real"))
    download(server.url("moved"), tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == BODY
    for address in ("http://127.0.0.1/x", "ftp://127.0.0.1/x", "file:///etc/passwd", "https:///x"):
        with pytest.raises(WeightsUnavailableError, match="only https"):
            local_file(address)


def test_a_certificate_that_is_not_trusted_ends_it(server, tmp_path, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    server.answers["a"] = serve(BODY)
    with pytest.raises(WeightsUnavailableError, match="CERTIFICATE_VERIFY_FAILED"):
        download(server.url("a"), tmp_path / "a")
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("status", "message"),
    [(404, r"no such file there \(404\); check the address"), (403, r"wants a login \(403\)"), (418, "refused \\(418")],
)
def test_a_refusal_is_a_sentence_and_is_not_asked_again(server, tmp_path, status, message):
    server.answers["a"] = lambda request, before: send(request, b"no", status)
    with pytest.raises(WeightsUnavailableError, match=message):
        download(server.url("a"), tmp_path / "a")
    assert len(server.seen) == 1


def test_a_busy_server_is_waited_for_as_long_as_it_asks_within_reason(server, tmp_path):
    def busy(request, before):
        if before == 0:
            send(request, b"", 429, Retry_After="1")
        else:
            serve(BODY)(request, before)

    server.answers["a"] = busy
    began = time.monotonic()
    download(server.url("a"), tmp_path / "a")
    assert time.monotonic() - began >= 1
    assert (tmp_path / "a").read_bytes() == BODY
    server.answers["b"] = lambda request, before: send(request, b"", 429, Retry_After="3600")
    with pytest.raises(WeightsUnavailableError, match=r"busy \(429\); run the same command again in 3600 s"):
        download(server.url("b"), tmp_path / "b")


def test_a_server_that_fails_is_asked_again_and_then_given_up(server, tmp_path):
    server.answers["a"] = lambda request, before: send(request, b"", 500)
    with pytest.raises(WeightsUnavailableError, match=r"the server failed \(500\)"):
        download(server.url("a"), tmp_path / "a")
    assert len(server.seen) == 4


def test_a_web_page_in_place_of_a_file_is_refused(server, tmp_path):
    page = b"<!DOCTYPE html><form>log in</form>"
    server.answers["a.pkl"] = lambda request, before: send(request, page, Content_Type="text/html; charset=utf-8")
    with pytest.raises(WeightsUnavailableError, match="a web page came in place of a file"):
        download(server.url("a.pkl"), tmp_path / "a.pkl")
    with pytest.raises(WeightsUnavailableError, match=r"fetch e4e_ffhq_encode\.pt there in a browser and put it into"):
        local_file(MODELS["e4e-ffhq"].page)


def test_a_changed_file_is_noticed_when_it_is_used_and_by_verify(server, cache):
    server.answers["net.pkl"] = serve(PICKLE.read_bytes())
    path = find_checkpoint(server.url("net.pkl"))
    result = CliRunner().invoke(cli.main, ["models", "verify"])
    assert result.exit_code == 0 and path.name in result.output
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"at the first fetch .* it was"):
        find_checkpoint(server.url("net.pkl"))
    result = CliRunner().invoke(cli.main, ["models", "verify"])
    assert result.exit_code == 1 and "changed or damaged" in result.output


def test_another_file_at_the_same_address_later_is_refused(server, cache):
    server.answers["a"] = serve(BODY)
    path = local_file(server.url("a"))
    path.unlink()
    server.answers["a"] = serve(BODY[::-1])
    with pytest.raises(CheckpointError, match="another file than on"):
        local_file(server.url("a"))
    assert not path.exists()
    server.answers["a"] = serve(BODY)
    assert local_file(server.url("a")).read_bytes() == BODY


@pytest.fixture
def public(server, monkeypatch):
    """The public model `tiny`, whose address is the test's server."""
    model = replace(MODELS["ffhq-256"], name="tiny", url=server.url("tiny.pkl"), megabytes=1)
    monkeypatch.setitem(MODELS, "tiny", model)
    server.answers["tiny.pkl"] = serve(PICKLE.read_bytes())
    return model


def test_a_public_model_is_fetched_after_its_licence_is_accepted(public, cache):
    assert is_remote("tiny")
    with pytest.raises(WeightsUnavailableError, match="models fetch tiny --accept-licence"):
        find_checkpoint("tiny")
    result = CliRunner().invoke(cli.main, ["models", "fetch", "tiny"])
    assert result.exit_code == 1
    assert "licence: NVIDIA Source Code License" in result.output and "add --accept-licence" in result.output
    assert not cache.exists() or not files(cache)
    result = CliRunner().invoke(cli.main, ["models", "fetch", "tiny", "--accept-licence"])
    assert result.exit_code == 0, result.output
    assert load_generator("tiny").img_resolution == 32
    assert read_record(cache / "tiny.pkl").licence == public.licence
    listed = CliRunner().invoke(cli.main, ["models", "list"]).output
    assert str(cache) in listed
    line = next(line for line in listed.splitlines() if line.startswith("tiny"))
    assert "here" in line and "256 px" in line and "NVIDIA" in line


def test_a_model_that_a_person_must_fetch_says_where_to_put_it_and_is_found_there(cache, monkeypatch):
    result = CliRunner().invoke(cli.main, ["models", "fetch", "e4e-ffhq", "--accept-licence"])
    assert result.exit_code == 1
    assert "drive.google.com" in result.output and str(cache) in result.output
    cache.mkdir(parents=True)
    (cache / "e4e_ffhq_encode.pt").write_bytes(PICKLE.read_bytes())
    assert find_checkpoint("e4e-ffhq") == cache / "e4e_ffhq_encode.pt"
    assert read_record(cache / "e4e_ffhq_encode.pt").num_bytes == PICKLE.stat().st_size
    (cache / "e4e_ffhq_encode.pt").write_bytes(PICKLE.read_bytes() + b" ")
    with pytest.raises(CheckpointError, match="changed or damaged"):
        find_checkpoint("e4e-ffhq")


def test_a_file_of_the_user_goes_before_a_public_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("ffhq-1024").write_bytes(PICKLE.read_bytes())
    assert find_checkpoint("ffhq-1024") == Path("ffhq-1024")


@pytest.mark.parametrize("name", ["https://host/smile.npz", "hf:owner/repo/smile.npz"])
def test_a_direction_is_named_by_its_address_and_a_strength_may_follow(name):
    assert Transfer.parse(name, strength=1.0).transfer == name
    told = Transfer.parse(f"{name}:0.5@4-7", strength=1.0)
    assert (told.transfer, told.strength, told.layers) == (name, 0.5, "4-7")


def test_an_unknown_public_model_is_named(cache):
    result = CliRunner().invoke(cli.main, ["models", "fetch", "ffhq-9000"])
    assert result.exit_code == 1 and "no public model 'ffhq-9000'" in result.output


CHILD = "import sys; from stylegan_core.models import local_file; print(local_file(sys.argv[1]))"


def test_two_processes_at_once_fetch_once(server, cache):
    gate = threading.Event()

    def slow(request, before):
        gate.wait(30)
        serve(BODY)(request, before)

    server.answers["a"] = slow
    command = [sys.executable, "-c", CHILD, server.url("a")]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    while not server.seen:
        time.sleep(0.05)
    time.sleep(0.5)  # the other child is at the lock, or comes to it later: either way it finds the file
    gate.set()
    told = [child.communicate(timeout=120)[0].strip() for child in children]
    assert [child.returncode for child in children] == [0, 0]
    assert told[0] == told[1] and Path(told[0]).read_bytes() == BODY
    assert len(server.seen) == 1


def test_a_full_disk_is_a_sentence_and_nothing_half_written_has_the_name(server, cache, monkeypatch):
    resource = pytest.importorskip("resource")
    server.answers["a"] = serve(BODY)

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))

    child = "import sys, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); import cli; cli.main()"
    command = [sys.executable, "-c", child, "info", server.url("a")]
    result = subprocess.run(command, preexec_fn=limit, capture_output=True, text=True)
    assert result.returncode == 1
    assert "the disk is full" in result.stderr and "INVERTIGO_CACHE" in result.stderr
    assert "Traceback" not in result.stderr
    assert not [name for name in files(cache) if name.endswith("-a")]
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 5})())
    with pytest.raises(OutputError, match=r"5 bytes are free, 1,024,000 are needed"):
        download(server.url("a"), cache / "b")


def test_a_folder_that_cannot_be_written_is_a_sentence(server, tmp_path):
    server.answers["a"] = serve(BODY)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        download(server.url("a"), tmp_path / "file" / "a")


def test_a_damaged_record_is_a_sentence(server, cache):
    server.answers["a"] = serve(BODY)
    path = local_file(server.url("a"))
    record_path(path).write_text(json.dumps({"sha256": 3}))
    with pytest.raises(CheckpointError, match="a damaged record"):
        local_file(server.url("a"))


def test_the_cache_is_where_the_variable_says(monkeypatch, tmp_path):
    monkeypatch.delenv("INVERTIGO_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "invertigo" / "models"
    monkeypatch.setenv("INVERTIGO_CACHE", str(tmp_path / "other"))
    assert cache_folder() == tmp_path / "other" / "models"
