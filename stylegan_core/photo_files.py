"""Files as photos: what kinds there are, and what is wrong with one; imports no torch, so that it is said at once."""

import io
import warnings
from importlib.util import find_spec
from pathlib import Path

from stylegan_core.errors import ImageError, one_line
from stylegan_core.files import MAX_FILE_BYTES, read_bytes

MAX_PIXELS = 150_000_000  # larger photos are refused before they are decoded
HEIC_SUFFIXES = (".heic", ".heif")
SUFFIXES = (
    ".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".avif", *HEIC_SUFFIXES
)  # fmt: skip
FILM_SUFFIXES = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".3gp")
HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
LOOKED_INTO = 1 << 24  # bytes: larger files are not looked into before anything is loaded
DECODED_EARLY = 4_000_000  # pixels: larger photos are not decoded before that


def read_image_bytes(path: Path, max_bytes: int = MAX_FILE_BYTES) -> bytes:
    """Read the bytes of an image file and let Pillow read HEIC; raises `ImageError` for what is no photo at all."""
    if path.is_dir():
        raise ImageError(f"{path}: a folder; `invertigo batch {path}` does all the photos in it")
    if path.suffix.lower() in FILM_SUFFIXES:
        raise ImageError(f"{path}: a film; `invertigo video {path}` does its frames")
    data = read_bytes(path, max_bytes)
    check_content(data, path)
    return data


def check_content(data: bytes, path: Path) -> None:
    """Refuse an empty file, and HEIC where nothing is installed that reads it; raises `ImageError`."""
    if not data:
        raise ImageError(f"{path}: the file is empty; copy or download it again")
    if is_heic(data) and not read_heic():
        raise ImageError(f"{path}: a HEIC photo, which pillow-heif reads: pip install 'invertigo[heic]'")


def is_heic(data: bytes) -> bool:
    """Tell whether the bytes are those of a HEIC or HEIF file."""
    return data[4:8] == b"ftyp" and data[8:12] in HEIC_BRANDS


def read_heic() -> bool:
    """Let Pillow read HEIC, and tell whether it can; pillow-heif is an extra."""
    if find_spec("pillow_heif") is None:
        return False
    from pillow_heif import register_heif_opener

    register_heif_opener()
    return True


def explain_failure(error: BaseException, data: bytes, path: Path) -> str:
    """Say in a sentence why an image could not be decoded."""
    from PIL import UnidentifiedImageError

    reason = one_line(error)
    if isinstance(error, UnidentifiedImageError):
        return f"{path}: not a readable image (its first bytes are of no image format); give a JPEG, PNG or WebP file"
    if "truncated" in reason or "unrecognized data stream contents" in reason or "Truncated" in reason:
        return f"{path}: the image is cut short after {len(data):,} bytes; copy or download it again"
    return f"{path}: not a readable image ({reason}); give a JPEG, PNG or WebP file"


def photo_problem(path: str) -> str:
    """Say what keeps a file from being read as a photo, as far as its first bytes tell; empty where nothing does."""
    from PIL import Image

    try:
        file = Path(path)
        data = read_image_bytes(file) if _is_small(file) else b""
    except ImageError as error:
        return str(error)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if data:
                with Image.open(io.BytesIO(data)) as image:
                    if image.size[0] * image.size[1] <= DECODED_EARLY:
                        image.load()
    except (Image.DecompressionBombError, MemoryError):  # our own limit is looked at where it is decoded
        return ""
    except (OSError, ValueError, SyntaxError, EOFError, TypeError, IndexError, KeyError) as error:
        return explain_failure(error, data, file)
    return ""


def pictures_in(folder: Path) -> list[Path]:
    """Return the pictures of a folder, by name; folders in it are not looked into."""
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES)


def film_problem(path: str) -> str:
    """Say what keeps a path from being a film or a folder of frames; empty where nothing does."""
    file = Path(path)
    if not file.exists():
        return f"{path}: no such file; give a film, or a folder of frames"
    if file.is_dir() and not pictures_in(file):
        return f"{path}: no frames in it; give a film, or a folder of its frames as pictures"
    if file.suffix.lower() in SUFFIXES and file.suffix.lower() != ".gif":
        return f"{path}: a photo; `edit {path}` edits it"
    return f"{path}: the file is empty; copy or download it again" if file.is_file() and not file.stat().st_size else ""


def _is_small(file: Path) -> bool:
    return not file.is_file() or file.suffix.lower() in FILM_SUFFIXES or file.stat().st_size <= LOOKED_INTO
