"""What a file is, whichever of ours it is: a checkpoint, a latent or a direction."""

from pathlib import Path

from editing.directions import load_direction
from inversion.latents import load_latent, read_npz
from stylegan_core.checkpoints.info import describe_checkpoint


def describe_file(path: str | Path) -> dict[str, str]:
    """Return what `invertigo info` prints of a file, label by label."""
    if Path(path).suffix != ".npz":
        return describe_checkpoint(path)
    return describe_direction(path) if "direction" in read_npz(path) else describe_latent(path)


def describe_latent(path: str | Path) -> dict[str, str]:
    """Return the lines of a latent."""
    latent = load_latent(path)
    _, num_ws, w_dim = latent.ws.shape
    return {
        "kind": f"latent code in {latent.space.upper()}",
        "num_ws": str(num_ws),
        "dims": f"w {w_dim}",
        "noise inputs": str(len(latent.noise) or "none"),
        "edited": "no" if bool((latent.ws == latent.origin).all()) else "yes",
        "generator": latent.generator or "unknown (a file of another tool)",
        "photo": latent.photo_sha256 or "unknown",
    }


def describe_direction(path: str | Path) -> dict[str, str]:
    """Return the lines of a direction."""
    direction = load_direction(path)
    _, num_ws, w_dim = direction.vector.shape
    layers = "all" if direction.layers is None else ", ".join(map(str, direction.layers))
    return {
        "kind": f"direction in {'W' if num_ws == 1 else 'W+'}",
        "name": direction.name,
        "dims": f"w {w_dim}",
        "layers": layers,
        "unit": direction.unit or "not stated",
        "length": f"{float(direction.vector.norm()):.3f}",
        "generator": f"{direction.generator_name} ({direction.generator})",
    }
