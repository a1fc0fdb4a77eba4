"""Films, frame by frame: read through imageio-ffmpeg or from a folder of pictures, written as H.264."""

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from stylegan_core.credentials import Seal
from stylegan_core.errors import ConfigError, ImageError
from stylegan_core.files import read_bytes, write_atomic
from stylegan_core.images import read_photo
from stylegan_core.photo_files import pictures_in

MAX_FRAMES = 3000
FOLDER_FPS = 25.0  # of a folder of pictures, which does not say


@dataclass(frozen=True)
class Film:
    """A film that is decoded anew each time its frames are asked for, so that its length needs no memory."""

    source: Path
    fps: float
    num_frames: int  # about so many, for a progress bar
    has_sound: bool
    limit: int = MAX_FRAMES

    def frames(self) -> Iterator[NDArray[np.uint8]]:
        """Yield the frames [H, W, 3]; raises `ImageError` for damaged ones, and for frames of different sizes."""
        size: tuple[int, ...] | None = None
        for frame in islice(self._from_folder() if self.source.is_dir() else self._decoded(), self.limit):
            if size not in (None, frame.shape):
                raise ImageError(f"{self.source}: frames of different sizes; give frames of one film")
            size = frame.shape
            yield frame
        if size is None:
            raise ImageError(f"{self.source}: no frames in it; give a film or a folder of its frames")

    def _from_folder(self) -> Iterator[NDArray[np.uint8]]:
        return (read_photo(file).rgb for file in pictures_in(self.source))

    def _decoded(self) -> Iterator[NDArray[np.uint8]]:
        reader = _ffmpeg().read_frames(str(self.source))
        try:
            width, height = next(reader)["size"]
            for data in reader:
                yield np.frombuffer(data, np.uint8).reshape(height, width, 3)
        except (OSError, StopIteration, KeyError, ValueError) as error:
            raise _unreadable(self.source, error) from error
        finally:
            reader.close()


def open_film(source: str | Path, fps: float = 0.0, limit: int = 0) -> Film:
    """Open a film, or a folder of pictures in order of name; `fps` 0 is the film's own, `limit` 0 is `MAX_FRAMES`."""
    path, limit = Path(source), min(limit or MAX_FRAMES, MAX_FRAMES)
    if path.is_dir():
        return Film(path, fps or FOLDER_FPS, min(limit, len(pictures_in(path))), False, limit)
    if not path.is_file():
        raise ImageError(f"{source}: no such film or folder; check the path")
    try:
        reader = _ffmpeg().read_frames(str(path))
        about = next(reader)
        reader.close()
    except (OSError, StopIteration) as error:
        raise _unreadable(path, error) from error
    own = float(about.get("fps") or FOLDER_FPS)
    has_sound = bool(about.get("audio_codec")) and fps in (0.0, own)  # at another pace it would not fit
    num_frames = round(own * float(about.get("duration") or 0))
    return Film(path, fps or own, min(limit, num_frames), has_sound, limit)


def write_mp4(
    path: str | Path, frames: Iterable[NDArray[np.uint8]], fps: float, note: str, sound: Path | None = None,
    seal: Seal | None = None,
) -> None:  # fmt: skip
    """Write frames [H, W, 3] as H.264, atomically, with `note` as the comment and the sound of the film `sound`.

    `seal` signs the film. Frames are taken one by one. A side of odd length loses a pixel, since the codec takes even
    ones only."""
    path = Path(path)

    def write(file: BinaryIO) -> None:
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            encoded = Path(folder) / path.name
            _encode(encoded, frames, fps, note, sound)
            if seal:
                file.write(seal(read_bytes(encoded), path.name))
                return
            with encoded.open("rb") as film:
                shutil.copyfileobj(film, file)

    write_atomic(path, write)


def _encode(path: Path, frames: Iterable[NDArray[np.uint8]], fps: float, note: str, sound: Path | None) -> None:
    options: dict[str, Any] = {"fps": fps, "quality": 8, "macro_block_size": 2}
    options["output_params"] = ["-metadata", f"comment={note}"]
    if sound:
        options |= {"audio_path": str(sound), "audio_codec": "aac"}
        options["output_params"] += ["-shortest"]
    writer = None
    for frame in frames:
        height, width = (side - side % 2 for side in frame.shape[:2])
        if writer is None:
            writer = _ffmpeg().write_frames(str(path), (width, height), **options)
            writer.send(None)
        writer.send(np.ascontiguousarray(frame[:height, :width]))
    if writer:
        writer.close()


def can_write_mp4() -> bool:
    """Say whether imageio-ffmpeg is installed."""
    try:
        _ffmpeg()
    except ConfigError:
        return False
    return True


def _unreadable(path: Path, error: BaseException) -> ImageError:
    return ImageError(f"{path}: not a readable film ({' '.join(str(error).split())[:160]})")


def _ffmpeg() -> Any:
    try:
        import imageio_ffmpeg
    except ImportError:
        raise ConfigError(
            "films need imageio-ffmpeg: pip install 'invertigo[video]', or take frames or GIF in place of MP4"
        ) from None
    return imageio_ffmpeg
