import hashlib
import http.server
import threading
from pathlib import Path

import lpips
import pytest
import torch
from safetensors.torch import load_file
from torch.testing import assert_close
from torchvision.models import squeezenet1_1

from stylegan_core.assets import asset_path
from stylegan_core.errors import ConfigError, WeightsUnavailableError
from stylegan_core.features import weights
from stylegan_core.features.perceptual import load_perceptual
from stylegan_core.features.weights import WeightsFile, obtain


def images(seed, size=64):
    return torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_a_cached_target_gives_what_the_lpips_package_gives():
    perceptual = load_perceptual("squeeze-uncalibrated")
    x, y = images(0), images(1)
    assert perceptual.name == "squeeze-uncalibrated"
    assert_close(perceptual(x, y), perceptual.model(x, y).flatten())
    assert_close(perceptual(x, x), torch.zeros(2), atol=1e-7, rtol=0)


def test_the_embedded_backbone_is_torchvision_s_squeezenet_with_the_shipped_weights():
    net = squeezenet1_1(weights=None).eval()
    state = load_file(asset_path("squeezenet1_1_features.safetensors"))
    net.load_state_dict({**net.state_dict(), **{name: tensor.float() for name, tensor in state.items()}})
    perceptual, x = load_perceptual("squeeze-uncalibrated"), images(2)
    deepest = perceptual.model.net(perceptual.model.scaling_layer(x))[-1]
    normalised = ((x + 1) / 2 - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor(
        [0.229, 0.224, 0.225]
    ).view(3, 1, 1)
    assert_close(deepest, net.features(normalised), atol=2e-3, rtol=1e-3)  # lpips rounds mean and std to 3 digits


def test_calibrated_features_use_the_cached_backbone_and_lpips_heads(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    state = {name: tensor.clone() for name, tensor in squeezenet1_1(weights=None).state_dict().items()}
    (tmp_path / "checkpoints").mkdir()
    file = tmp_path / "checkpoints" / "net.pth"
    torch.save(state, file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    monkeypatch.setitem(weights.TORCHVISION, "squeeze", WeightsFile("http://127.0.0.1:1/net.pth", digest, 10**8))
    perceptual = load_perceptual("squeeze")
    assert perceptual.name == "squeeze"
    heads = torch.load(Path(lpips.__file__).parent / "weights/v0.1/squeeze.pth", "cpu", weights_only=True)
    assert_close(perceptual.model.lin0.model[1].weight, heads["lin0.model.1.weight"])
    x, y = images(0), images(1)
    assert_close(perceptual(x, y), perceptual.model(x, y).flatten())


def test_auto_is_the_embedded_network_where_nothing_is_cached(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert load_perceptual("auto").name == "squeeze-uncalibrated"
    with pytest.raises(ConfigError, match="unknown"):
        load_perceptual("resnet")


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A local file server, and a cache of its own."""
    served = tmp_path / "served"
    served.mkdir()
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(served))

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield served, f"http://127.0.0.1:{httpd.server_address[1]}"
        httpd.shutdown()


def test_a_download_is_checked_cached_and_not_fetched_twice(server):
    served, url = server
    (served / "a.pth").write_bytes(b"weights")
    wanted = WeightsFile(f"{url}/a.pth", hashlib.sha256(b"weights").hexdigest()[:8], 100)
    path = obtain(wanted)
    assert path.read_bytes() == b"weights"
    (served / "a.pth").unlink()
    assert obtain(wanted) == path


@pytest.mark.parametrize(
    ("sha256", "max_bytes", "reason"), [("0" * 8, 100, "SHA-256"), ("", 3, "at most"), ("", 100, "fetched")]
)
def test_wrong_large_and_missing_downloads_are_refused_and_not_kept(server, sha256, max_bytes, reason):
    served, url = server
    name = "missing.pth" if reason == "fetched" else "a.pth"
    (served / "a.pth").write_bytes(b"weights")
    with pytest.raises(WeightsUnavailableError, match=reason):
        obtain(WeightsFile(f"{url}/{name}", sha256, max_bytes))
    assert not list(weights.cache_folder().glob("*"))


def test_a_tampered_cache_is_refused(server):
    wanted = WeightsFile("http://127.0.0.1:1/b.pth", hashlib.sha256(b"good").hexdigest(), 100)
    weights.cache_folder().mkdir(parents=True)
    (weights.cache_folder() / "b.pth").write_bytes(b"evil")
    with pytest.raises(WeightsUnavailableError, match="delete it"):
        obtain(wanted)


def test_offline_mode_fetches_nothing(server, monkeypatch):
    monkeypatch.setenv("INVERTIGO_OFFLINE", "1")
    with pytest.raises(WeightsUnavailableError, match="INVERTIGO_OFFLINE"):
        obtain(WeightsFile("http://127.0.0.1:1/c.pth", "", 100))
