"""What a file is: a checkpoint, a latent, a direction, a picture, or a film."""

from pathlib import Path

from inversion.latents import load_latent
from stylegan_core.credentials import describe_credentials, read_credentials
from stylegan_core.errors import ConfigError, ImageError
from stylegan_core.files import read_bytes
from stylegan_core.films import open_film
from stylegan_core.images import decode_photo, made_by
from stylegan_core.npz import read_npz
from stylegan_core.photo_files import FILM_SUFFIXES, SUFFIXES


def describe_file(path: str | Path) -> dict[str, str]:
    """Return what `invertigo info` prints of a file, label by label."""
    if Path(path).suffix.lower() in SUFFIXES:
        return describe_picture(path)
    if Path(path).suffix.lower() in FILM_SUFFIXES:
        return describe_film(path)
    if Path(path).suffix != ".npz":
        from stylegan_core.checkpoints.info import describe_checkpoint  # with the networks, which a latent does without

        return describe_checkpoint(path)
    return describe_direction(path) if "direction" in read_npz(path) else describe_latent(path)


def describe_picture(path: str | Path) -> dict[str, str]:
    """Return the lines of a picture: what it says of its making, and whether its content credentials hold."""
    data = read_bytes(Path(path))
    photo = decode_photo(data, Path(path))
    height, width = photo.rgb.shape[:2]
    return {
        "kind": "picture",
        "size": f"{width} x {height}",
        "note": made_by(data) or "none",
        **describe_credentials(read_credentials(data, Path(path).name)),
    }


def describe_film(path: str | Path) -> dict[str, str]:
    """Return the lines of a film: how long it is, and whether its content credentials hold."""
    found = describe_credentials(read_credentials(read_bytes(Path(path)), Path(path).name))
    try:
        film = open_film(path)
    except (ConfigError, ImageError) as error:  # what is signed can be told without it
        return {"kind": "film", "content": str(error), **found}
    return {"kind": "film", "frames": str(film.num_frames), "frames a second": f"{film.fps:g}", **found}


def describe_latent(path: str | Path) -> dict[str, str]:
    """Return the lines of a latent."""
    latent = load_latent(path)
    _, num_ws, w_dim = latent.ws.shape
    return {
        "kind": f"latent code in {latent.space.upper()}",
        "num_ws": str(num_ws),
        "dims": f"w {w_dim}",
        "noise inputs": str(len(latent.noise) or "none"),
        "edited": "yes" if latent.styles or bool((latent.ws != latent.origin).any()) else "no",
        "generator": latent.generator or "unknown (a file of another tool)",
        "photo": latent.photo_sha256 or "unknown",
    }


def describe_direction(path: str | Path) -> dict[str, str]:
    """Return the lines of a direction."""
    from stylegan_core.directions import load_direction, space_of

    direction = load_direction(path)
    w_dim = direction.vector.shape[2]
    layers = "all" if direction.layers is None else ", ".join(map(str, direction.layers))
    if direction.styles:
        layers = ", ".join(direction.styles)
    steps = list(direction.styles.values()) or [direction.vector]
    length = sum(float(step.square().sum()) for step in steps) ** 0.5
    return {
        "kind": f"direction in {space_of(direction)}",
        "name": direction.name,
        "dims": f"w {w_dim}",
        "layers": layers,
        "unit": direction.unit or "not stated",
        "length": f"{length:.3f}",
        "generator": f"{direction.generator_name} ({direction.generator})",
    }
