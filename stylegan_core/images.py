"""Read photos, write pictures, and convert between files and tensors; nothing else touches uint8."""

import hashlib
import io
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageDraw, ImageFont, ImageOps, PngImagePlugin
from torch import Tensor

from stylegan_core.errors import ImageError, OutputError
from stylegan_core.files import MAX_FILE_BYTES, write_atomic
from stylegan_core.photo_files import MAX_PIXELS, check_content, explain_failure, read_image_bytes

MIN_SIDE = 8
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    f'Iptc4xmpExt:DigitalSourceType="{SOURCE_TYPE}"/></rdf:RDF></x:xmpmeta>'
)
WRITTEN = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
QUALITY = 95  # of JPEG and WebP
PNG_LEVEL = 4  # of zlib: photos come as small as at its usual 6, in 60 % of the time


@dataclass(frozen=True)
class Photo:
    """An upright photo as it came from its file."""

    rgb: NDArray[np.uint8]  # [H, W, 3]
    path: Path
    sha256: str  # of the file's bytes
    alpha: NDArray[np.uint8] | None = None  # [H, W]
    grayscale: bool = False
    icc_profile: bytes | None = None


def read_photo(path: str | Path, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_FILE_BYTES) -> Photo:
    """Read an image file of any common kind as an upright 8-bit RGB photo.

    EXIF orientation is applied; CMYK, palette, grayscale and 16-bit files are converted; alpha is kept apart.
    Raises `ImageError` for what is no image, is truncated, or is smaller than 8 or larger than `max_pixels`."""
    path = Path(path)
    return decode_photo(read_image_bytes(path, max_bytes), path, max_pixels)


def decode_photo(data: bytes, path: Path, max_pixels: int = MAX_PIXELS) -> Photo:
    """Decode the bytes of an image file as `read_photo` does; `path` names it in errors."""
    check_content(data, path)
    try:
        image = _decode(data, path, max_pixels)
    except (OSError, ValueError, SyntaxError, EOFError, TypeError, IndexError, KeyError) as error:
        raise ImageError(explain_failure(error, data, path)) from error
    icc = image.info.get("icc_profile") if image.mode in ("RGB", "RGBA", "L", "LA") else None
    alpha = None
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        alpha = np.asarray(image.getchannel("A"))
    grayscale = image.mode in ("1", "L", "LA", "I", "F") or image.mode.startswith("I;16")
    rgb = np.asarray(_to_8_bit(image).convert("RGB"))
    grayscale = grayscale or bool((rgb[..., :1] == rgb).all())
    return Photo(rgb, path, hashlib.sha256(data).hexdigest(), alpha, grayscale, icc)


def _decode(data: bytes, path: Path, max_pixels: int) -> Image.Image:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pillows_limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # ours stands below, and may be higher
        try:
            image = Image.open(io.BytesIO(data))
        finally:
            Image.MAX_IMAGE_PIXELS = pillows_limit
        width, height = image.size
        if width * height > max_pixels:
            raise ImageError(
                f"{path}: {width}x{height} is more than the {max_pixels:,} pixels that are read; shrink it first"
            )
        if min(width, height) < MIN_SIDE:
            raise ImageError(f"{path}: {width}x{height} pixels; a photo needs at least {MIN_SIDE} on each side")
        image.load()
        try:
            return ImageOps.exif_transpose(image)
        except Exception:  # a damaged EXIF block says nothing of the pixels
            return image


def _to_8_bit(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        values = np.asarray(image).astype(np.float64)
        full = 65535.0 if values.max(initial=0) > 255 else (255.0 if values.max(initial=0) > 1 else 1.0)
        return Image.fromarray(((values / full).clip(0, 1) * 255).round().astype(np.uint8))
    return image


def to_tensor(rgb: NDArray[np.uint8]) -> Tensor:
    """Convert uint8 [H, W, 3] (or [N, H, W, 3]) to float32 [1 or N, 3, H, W] in [-1, 1]."""
    array = torch.from_numpy(np.array(rgb, copy=True))
    array = array[None] if array.ndim == 3 else array
    return array.permute(0, 3, 1, 2).to(torch.float32).div(127.5).sub(1).contiguous()


def to_uint8(images: Tensor) -> NDArray[np.uint8]:
    """Convert float images [N, C, H, W] in [-1, 1] to uint8 [N, H, W, 3]; one channel is repeated."""
    images = images.detach().float().cpu()
    if images.shape[1] == 1:
        images = images.repeat(1, 3, 1, 1)
    scaled = (images[:, :3].nan_to_num(0.0) * 127.5 + 127.5).round().clamp(0, 255)
    return scaled.to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()


def write_png(
    path: str | Path, rgb: NDArray[np.uint8], note: str = "", alpha: NDArray[np.uint8] | None = None,
    icc_profile: bytes | None = None, grayscale: bool = False,
) -> None:  # fmt: skip
    """Write uint8 [H, W, 3] as a PNG, atomically; the rest as for `encode_png`."""
    content = encode_png(rgb, note, alpha, icc_profile, grayscale)
    write_atomic(path, lambda file: file.write(content))


def encode_png(
    rgb: NDArray[np.uint8], note: str = "", alpha: NDArray[np.uint8] | None = None, icc_profile: bytes | None = None,
    grayscale: bool = False,
) -> bytes:  # fmt: skip
    """Return uint8 [H, W, 3] as the bytes of a PNG.

    A `note` marks the picture as synthetic or edited, as text and as the IPTC digital source type in XMP."""
    image = Image.fromarray(np.ascontiguousarray(rgb))
    if grayscale:
        image = image.convert("L")
    if alpha is not None:
        image.putalpha(Image.fromarray(alpha))
    info = _disclosure(note) if note else None
    content = io.BytesIO()
    image.save(content, "PNG", pnginfo=info, icc_profile=icc_profile, compress_level=PNG_LEVEL)
    return content.getvalue()


def encode_picture(
    suffix: str, rgb: NDArray[np.uint8], note: str = "", alpha: NDArray[np.uint8] | None = None,
    icc_profile: bytes | None = None, grayscale: bool = False,
) -> bytes:  # fmt: skip
    """Return uint8 [H, W, 3] as the bytes of a PNG, JPEG (without the alpha) or WebP, as `suffix` says.

    The `note` is in all of them as in `encode_png`. Raises `OutputError` for another suffix."""
    kind = WRITTEN.get(suffix.lower())
    if kind is None:
        raise OutputError(f"pictures are written as {', '.join(WRITTEN)}, not as '{suffix}'; give such a name")
    if kind == "PNG":
        return encode_png(rgb, note, alpha, icc_profile, grayscale)
    image = Image.fromarray(np.ascontiguousarray(rgb))
    if grayscale and alpha is None:
        image = image.convert("L")
    if alpha is not None and kind == "WEBP":
        image.putalpha(Image.fromarray(alpha))
    options: dict[str, Any] = {"icc_profile": icc_profile, "quality": QUALITY}
    if kind == "JPEG":
        options["subsampling"] = 0
    if note:
        exif = Image.Exif()
        exif[ExifTags.Base.ImageDescription], exif[ExifTags.Base.Software] = note, "Invertigo"
        xmp = XMP.encode()
        head = b"http://ns.adobe.com/xap/1.0/\x00"
        segment = b"\xff\xe1" + (len(head) + len(xmp) + 2).to_bytes(2, "big") + head + xmp
        options |= {"exif": exif, **({"extra": segment} if kind == "JPEG" else {"xmp": xmp})}
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def _disclosure(note: str) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_text("Software", "Invertigo")
    info.add_itxt("Description", note)
    info.add_itxt("XML:com.adobe.xmp", XMP)
    return info


def made_by(data: bytes) -> str:
    """Return what an image file says of its making: the note of `encode_png`, and the IPTC digital source type."""
    with Image.open(io.BytesIO(data)) as image:
        described = image.info.get("Description") or image.getexif().get(ExifTags.Base.ImageDescription, "")
        said = str(described)[:400]
    found = re.search(rb"digitalsourcetype/(\w{1,60})", data)
    kind = f"IPTC digital source type {found[1].decode()}" if found else ""
    return "; ".join(part for part in (said, kind) if part)


def labelled_row(images: Sequence[NDArray[np.uint8]], labels: Sequence[str], side: int = 256) -> NDArray[np.uint8]:
    """Lay pictures out in a row, each scaled to `side` pixels under its label; uint8 [H, W, 3]."""
    return labelled_grid([images], column_labels=labels, side=side)


def labelled_grid(
    rows: Sequence[Sequence[NDArray[np.uint8]]],
    column_labels: Sequence[str] = (),
    row_labels: Sequence[str] = (),
    side: int = 128,
) -> NDArray[np.uint8]:
    """Lay pictures out in a grid of `side`-pixel cells with labels above and to the left; uint8 [H, W, 3]."""
    font = ImageFont.load_default(size=max(10, side // 16))
    gap, top = max(2, side // 32), side // 7 if column_labels else 0
    left = side // 2 if row_labels else 0
    num_columns = max(len(row) for row in rows)
    size = (left + num_columns * (side + gap) + gap, top + len(rows) * (side + gap) + gap)
    canvas = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(canvas)
    for column, label in enumerate(column_labels):
        centre = left + gap + column * (side + gap) + side // 2
        draw.text((centre, top // 2 + gap), label, fill="black", font=font, anchor="mm")
    for index, row in enumerate(rows):
        y = top + gap + index * (side + gap)
        if index < len(row_labels):
            draw.text((left // 2, y + side // 2), row_labels[index], fill="black", font=font, anchor="mm")
        for column, picture in enumerate(row):
            cell = Image.fromarray(np.ascontiguousarray(picture)).resize((side, side), _filter_for(picture, side))
            canvas.paste(cell, (left + gap + column * (side + gap), y))
    return np.asarray(canvas)


def _filter_for(picture: NDArray[np.uint8], side: int) -> Image.Resampling:
    return Image.Resampling.LANCZOS if picture.shape[0] > side else Image.Resampling.BICUBIC
