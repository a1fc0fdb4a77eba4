"""A pipeline without a network, to test the runner: it writes a photo's negative, or fails as the name says."""

import errno
import hashlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from inversion.batch import Item, Result
from inversion.batch.inputs import MANIFEST
from stylegan_core.errors import ConfigError, ToolkitError
from stylegan_core.images import read_photo, write_png

TESTS = Path(__file__).resolve().parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)])}


def make_photos(folder, names, side=10):
    for index, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = np.random.RandomState(index).randint(0, 256, (side, side, 3)).astype(np.uint8)
        Image.fromarray(picture).save(path)


def contents(out):
    """Return every output file with its digest, the run's own records left out."""
    own = {MANIFEST, MANIFEST + "-wal", MANIFEST + "-shm", ".lock"}
    files = [path for path in out.rglob("*") if path.is_file() and path.name not in own]
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@dataclass(frozen=True)
class Negative:
    """Write `negative.png` of every photo."""

    key: str = "one"
    delay: float = 0.0  # seconds a photo
    broken: bool = False
    full_at: str = ""  # name of the photo at which the disk is full

    def open(self):
        if self.broken:
            raise ConfigError("the model is missing; fetch it")
        return self.process

    def process(self, items, out):
        return [self.one(item, out) for item in items]

    def one(self, item: Item, out: Path) -> Result:
        time.sleep(self.delay)
        if "kill" in Path(item.path).name:
            os.kill(os.getpid(), signal.SIGKILL)
        if Path(item.path).name == self.full_at:
            raise OSError(errno.ENOSPC, "No space left on device", str(out))
        if "bug" in Path(item.path).name:
            raise RuntimeError("a bug")
        try:
            photo = read_photo(item.path)
            path = out / item.name / "negative.png"
            write_png(path, 255 - photo.rgb)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            return Result(item.id, seconds=0.1, metrics={"side": photo.rgb.shape[0]}, outputs={"negative.png": digest})
        except ToolkitError as error:
            return Result(item.id, str(error))


@dataclass(frozen=True)
class Seen:
    """Say which GPUs a worker sees, for a pipeline that would use them."""

    key: str = "gpus"
    device: str = "cuda"

    def open(self):
        return self.process

    def process(self, items, out):
        time.sleep(0.5)  # so that no worker does the work of both
        return [Result(item.id, metrics={"gpu": int(os.environ.get("CUDA_VISIBLE_DEVICES", "-1"))}) for item in items]


if __name__ == "__main__":
    import resource
    import sys

    from inversion.batch import run

    summary = run(sys.argv[1], sys.argv[2], Negative(delay=float(sys.argv[3])), workers=2, batch=3)
    peaks = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(summary.done, *peaks)
