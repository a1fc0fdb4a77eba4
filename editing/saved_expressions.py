"""Expressions as small files: what is measured on a face, not its code."""

import json
from pathlib import Path

from editing.reach import measures_of
from inversion.faces.align import align_face, face_quad
from inversion.faces.detect import choose_faces, detect_faces
from inversion.faces.measure_table import MEASURES, check_value
from stylegan_core.assets import asset_path
from stylegan_core.errors import ConfigError
from stylegan_core.files import read_bytes, write_text
from stylegan_core.images import Photo
from stylegan_core.networks.protocol import Alignment

SIDE = 256  # pixels of the face that is measured
ALIGNMENT = Alignment(0.8, 0.08)  # how it is cropped: as the landmark network was tried
MAX_BYTES = 65_536
FORMAT = "invertigo expression"


def read_expression(photo: Photo, pose: bool = False, faces: str = "1") -> dict[str, float]:
    """Measure the expression of a photo's largest face, by name; with `pose` the head's also.

    Raises `FaceNotFoundError` where there is none."""
    face = next(iter(choose_faces(detect_faces(photo.rgb), faces, str(photo.path)).values()))
    aligned = align_face(photo.rgb, face_quad(face.landmarks, ALIGNMENT), SIDE)
    values = measures_of(aligned, ALIGNMENT)
    return {name: round(value, 4) for name, value in values.items() if pose or MEASURES[name].expression}


def save_expression(path: Path, values: dict[str, float], name: str) -> None:
    """Write an expression as JSON, atomically."""
    write_text(path, json.dumps({"format": FORMAT, "name": name, "measures": values}, indent=2) + "\n")


def load_expression(path: Path) -> dict[str, float]:
    """Read an expression's file; raises `ConfigError` for anything else."""
    try:
        content = json.loads(read_bytes(path, MAX_BYTES))
        fits = isinstance(content, dict) and content.get("format") == FORMAT
        values = {str(name): value for name, value in content["measures"].items()} if fits else {}
    except (ValueError, KeyError, AttributeError, RecursionError) as error:
        raise ConfigError(f"{path}: its contents are damaged ({error}); save the expression again") from error
    if not values or not all(type(value) in (int, float) for value in values.values()):
        raise ConfigError(f"{path}: no expression in it; give a file made by `invertigo expression save`")
    for name, value in values.items():
        check_value(name, float(value))
    return {name: float(value) for name, value in values.items()}


def find_expression(name_or_path: str) -> dict[str, float]:
    """Return the shipped expression of that name, or the one in a file; raises `ConfigError`."""
    path = Path(name_or_path)
    if path.suffix == ".json" or path.is_file():
        if not path.is_file():
            raise ConfigError(
                f"{path}: there is no such file; make it with `invertigo expression save PHOTO --out {path}`"
            )
        return load_expression(path)
    shipped = shipped_expressions()
    if name_or_path not in shipped:
        raise ConfigError(
            f"no expression '{name_or_path}'; shipped: {', '.join(shipped)}; or give a file of `expression save`"
        )
    return shipped[name_or_path]


def shipped_expressions() -> dict[str, dict[str, float]]:
    """Return the expressions that ship, by name."""
    return {path.stem: load_expression(path) for path in sorted(asset_path("expressions").glob("*.json"))}
