"""The feature extractors behind Fréchet distances, each under its own name: `fid` is Inception's and nobody else's."""

import hashlib
import importlib
import importlib.util
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import interpolate

from stylegan_core.assets import asset_path
from stylegan_core.errors import ConfigError, WeightsUnavailableError
from stylegan_core.features.backbones import build_backbone
from stylegan_core.features.weights import WeightsFile, cached, obtain

INCEPTION = WeightsFile(
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
    "6726825d",
    120_000_000,
)
SQUEEZENET_SIDE = 224  # pixels; what SqueezeNet was trained at


@dataclass(frozen=True)
class Extractor:
    """A fixed network, and the name its Fréchet distance goes by."""

    metric: str  # name of the Fréchet distance in these features
    dim: int  # width of the features
    num_classes: int  # width of the logits; 0: none, so no Inception score
    extract: Callable[[Tensor], tuple[Tensor, Tensor | None]]

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Turn images [N, 3, H, W] in [-1, 1] into features [N, dim] and, where there are any, class logits."""
        return self.extract(images)


def quantise(images: Tensor) -> Tensor:
    """Round and clip images in [-1, 1] to the 256 levels of a file, as reals are."""
    return ((images * 127.5 + 127.5).round().clamp(0, 255) - 127.5) / 127.5


def squeezenet_extractor(device: str | torch.device = "cpu") -> Extractor:
    """Load the embedded SqueezeNet 1.1: its last 512 feature maps, averaged over the image resized to 224 px."""
    state = load_file(asset_path("squeezenet1_1_features.safetensors"))
    features = build_backbone("squeeze", state).to(device)
    mean = torch.tensor([0.485, 0.456, 0.406], device=device)[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225], device=device)[:, None, None]

    @torch.no_grad()
    def extract(images: Tensor) -> tuple[Tensor, None]:
        images = quantise(images.to(device).float())
        size = (SQUEEZENET_SIDE, SQUEEZENET_SIDE)
        images = interpolate(images, size=size, mode="bilinear", align_corners=False, antialias=True)
        return features((images / 2 + 0.5 - mean) / std).mean((2, 3)), None

    return Extractor("fd-squeezenet", 512, 0, extract)


def inception_extractor(weights: str | Path | None = None, device: str | torch.device = "cpu") -> Extractor:
    """Load the Inception network of FID through torch-fidelity, its weights from a file or the torch.hub cache.

    The file is checked against its SHA-256. Raises `WeightsUnavailableError` where package or weights are absent."""
    try:
        module = importlib.import_module("torch_fidelity.feature_extractor_inceptionv3")
    except ImportError as error:
        raise WeightsUnavailableError(
            "FID needs the package torch-fidelity (pip install 'invertigo[fid]'); `fd-squeezenet` works without"
        ) from error
    path = obtain(INCEPTION) if weights is None else _checked(Path(weights))
    try:
        torch.load(path, map_location="cpu", weights_only=True)  # torch-fidelity loads it without this restriction
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise WeightsUnavailableError(f"{path}: holds more than weights ({type(error).__name__}); not used") from error
    network = module.FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(path)
    )
    network = network.eval().requires_grad_(False).to(device)

    @torch.no_grad()
    def extract(images: Tensor) -> tuple[Tensor, Tensor]:
        pixels = (images.to(device).float() * 127.5 + 127.5).round().clamp(0, 255).to(torch.uint8)
        features, logits = network(pixels)
        return features, logits

    return Extractor("fid", 2048, 1008, extract)


EXTRACTORS = {"fd-squeezenet": squeezenet_extractor, "fid": inception_extractor}


def get_extractor(name: str, weights: str | Path | None = None, device: str | torch.device = "cpu") -> Extractor:
    """Load an extractor by the name of its Fréchet distance; `auto` prefers Inception and says what it fell back to."""
    if name not in ("auto", *EXTRACTORS):
        raise ConfigError(f"no Fréchet distance {name!r}; choose auto, {', '.join(EXTRACTORS)}")
    if name == "fd-squeezenet" or (name == "auto" and weights is None and not _inception_at_hand()):
        return squeezenet_extractor(device)
    return inception_extractor(weights, device)


def _checked(path: Path) -> Path:
    if not path.is_file():
        raise WeightsUnavailableError(f"{path}: no such file; give the path of {INCEPTION.filename}")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if not digest.startswith(INCEPTION.sha256):
        raise WeightsUnavailableError(
            f"{path}: SHA-256 {digest[:16]}, expected {INCEPTION.sha256}: it is not {INCEPTION.filename}"
        )
    return path


def _inception_at_hand() -> bool:
    return cached(INCEPTION) is not None and importlib.util.find_spec("torch_fidelity") is not None
