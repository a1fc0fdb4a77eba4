"""A server and a cache for each test."""

import pytest
from file_server import TLS, Server


@pytest.fixture
def server():
    one = Server()
    yield one
    one.close()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of its own, trust in the server's certificate, and no long pauses."""
    monkeypatch.setenv("INVERTIGO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "localhost.pem"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("stylegan_core.models.fetch.PAUSE", 0.01)
    return tmp_path / "cache" / "models"
