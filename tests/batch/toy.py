"""A pipeline without a network, to test the runner: it writes a photo's negative, or fails as the name says."""

import hashlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from inversion.batch import Item, Result
from stylegan_core.errors import ConfigError, ToolkitError
from stylegan_core.images import read_photo, write_png


@dataclass(frozen=True)
class Negative:
    """Write `negative.png` of every photo."""

    key: str = "one"
    delay: float = 0.0  # seconds a photo
    broken: bool = False

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


if __name__ == "__main__":
    import sys

    from inversion.batch import run

    run(sys.argv[1], sys.argv[2], Negative(delay=float(sys.argv[3])), workers=2, batch=3)
