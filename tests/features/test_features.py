import hashlib
import http.server
import threading
import warnings

import lpips
import pytest
import torch
from safetensors.torch import load_file
from torch.testing import assert_close
from torchvision import models

from stylegan_core.assets import asset_path
from stylegan_core.errors import ConfigError, WeightsUnavailableError
from stylegan_core.features import weights
from stylegan_core.features.backbones import build_backbone
from stylegan_core.features.perceptual import load_perceptual
from stylegan_core.features.weights import WeightsFile, obtain, packaged


def images(seed, size=64):
    return torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def the_package(net, calibrated, state):
    """The lpips package's own model with a backbone's weights."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its torchvision calls are deprecated
        model = lpips.LPIPS(net=net, lpips=calibrated, pnet_rand=True, verbose=False).eval()
    own = {name.split(".", 1)[1]: name for name in model.net.state_dict()}  # '3.bias' -> 'slice2.3.bias'
    layers = {name.removeprefix("features."): value.float() for name, value in state.items()}
    model.net.load_state_dict({own[name]: value for name, value in layers.items() if name in own})
    return model


def test_a_cached_target_gives_what_the_lpips_package_gives():
    perceptual = load_perceptual("squeeze-uncalibrated")
    package = the_package("squeeze", False, load_file(asset_path("squeezenet1_1_features.safetensors")))
    x, y = images(0), images(1)
    assert perceptual.name == "squeeze-uncalibrated"
    assert_close(perceptual(x, y), package(x, y).flatten())
    assert_close(perceptual.between(perceptual.features(x), perceptual.features(y)), package(x, y).flatten())
    assert_close(perceptual(x, x), torch.zeros(2), atol=1e-7, rtol=0)


def test_the_embedded_backbone_is_torchvision_s_squeezenet_with_the_shipped_weights():
    net = models.squeezenet1_1(weights=None).eval()
    state = load_file(asset_path("squeezenet1_1_features.safetensors"))
    net.load_state_dict({**net.state_dict(), **{name: tensor.float() for name, tensor in state.items()}})
    x = images(2)
    assert_close(build_backbone("squeeze", state)(x), net.features(x))


def test_weights_that_do_not_fit_a_backbone_are_refused():
    state = load_file(asset_path("squeezenet1_1_features.safetensors"))
    with pytest.raises(WeightsUnavailableError, match=r"squeeze lack features\.12\.squeeze\.bias"):
        build_backbone("squeeze", {k: v for k, v in state.items() if k != "features.12.squeeze.bias"})
    with pytest.raises(WeightsUnavailableError, match="no-such-package"):
        packaged("no-such-package", "weights.pth")


@pytest.mark.parametrize(("net", "model"), [("alex", "alexnet"), ("squeeze", "squeezenet1_1"), ("vgg", "vgg16")])
def test_calibrated_features_are_those_of_the_lpips_package(net, model, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with torch.device("meta"):
        shapes = getattr(models, model)(weights=None).features.state_dict()
    random = torch.Generator().manual_seed(0)
    fan = {name: value[0].numel() if value.ndim == 4 else 100 for name, value in shapes.items()}
    state = {
        f"features.{name}": torch.randn(value.shape, generator=random) * (2 / fan[name]) ** 0.5
        for name, value in shapes.items()
    }
    (tmp_path / "checkpoints").mkdir()
    file = tmp_path / "checkpoints" / "net.pth"
    torch.save(state, file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    monkeypatch.setitem(weights.TORCHVISION, net, WeightsFile("http://127.0.0.1:1/net.pth", digest, 10**8))
    perceptual = load_perceptual(net)
    assert perceptual.name == net
    x, y = images(0), images(1)
    assert_close(perceptual(x, y), the_package(net, True, state)(x, y).flatten(), rtol=1e-4, atol=1e-5)


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


@pytest.mark.parametrize(("channels", "side"), [(1, 8), (3, 16), (3, 20)])
def test_small_images_have_a_perceptual_distance_too(channels: int, side: int) -> None:
    distance = load_perceptual("squeeze-uncalibrated")
    one, other = torch.rand(2, 2, channels, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert bool((distance(one, other) > 0).all()) and bool((distance(one, one) == 0).all())
