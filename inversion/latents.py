"""A latent code and what belongs to it, in one .npz that cannot run code."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inversion.correction import Correction, check_correction, pack_correction, unpack_correction
from inversion.delta import Delta, check_delta, pack_delta, unpack_delta
from stylegan_core.errors import LatentError, LatentMismatchError
from stylegan_core.files import write_atomic
from stylegan_core.networks.protocol import Generator
from stylegan_core.npz import read_npz
from stylegan_core.styles import check_styles, unpack_styles

MAX_WS, MAX_W_DIM = 128, 16_384
OF_EDITS = ("edits", "strength_search", "edit_warnings")  # what a report says of edits; `warnings` has the last too


@dataclass(frozen=True)
class Latent:
    """A code of one image: ws [1, num_ws, w_dim] and what it was made from."""

    ws: Tensor  # [1, num_ws, w_dim] float32
    origin: Tensor  # [1, num_ws, w_dim]: the inversion that the edits in `ws` started from
    noise: dict[str, Tensor] = field(default_factory=dict)  # noise inputs [H, W] by layer
    generator: str = ""  # fingerprint; empty in a file of another tool
    space: str = "w+"
    quad: NDArray[np.float64] | None = None  # [4, 2] corners in the upright photo
    photo_sha256: str = ""
    report: dict[str, Any] = field(default_factory=dict)
    delta: Delta | None = None  # what tuning added to the generator's weights for this face
    correction: Correction | None = None  # what is added to a layer's features for this face, at `origin`
    near: Tensor | None = None  # [1, num_ws, w_dim]: a code of the same face near W, whose edits mean most
    styles: dict[str, Tensor] = field(default_factory=dict)  # what edits added to the styles, [C] by layer

    def edited(self, ws: Tensor, report: dict[str, Any]) -> "Latent":
        """Return the latent after an edit, which keeps its photo, noise, origin, tuned weights and correction."""
        return replace(self, ws=ws.detach().float(), report={**self.report, **report})

    def unedited(self) -> "Latent":
        """Return the latent as it was inverted; its report says no more of edits."""
        report = {name: value for name, value in self.report.items() if name not in OF_EDITS}
        edited = texts_of(self.report, "edit_warnings")
        if edited:
            report["warnings"] = [text for text in texts_of(self.report, "warnings") if text not in edited]
        return replace(self, ws=self.origin, styles={}, report=report)


def texts_of(report: Mapping[str, Any], name: str) -> list[str]:
    """Return the texts that a report lists under a name; a stranger's file may hold anything there."""
    found = report.get(name)
    return [text for text in found if isinstance(text, str)] if isinstance(found, list) else []


def edits_of(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what a report says of each edit; a stranger's file may hold anything there."""
    found = report.get("edits")
    return [edit for edit in found if isinstance(edit, dict)] if isinstance(found, list) else []


def save_latent(path: str | Path, latent: Latent) -> None:
    """Write a latent as .npz, atomically; `w` is what NVIDIA's tools read."""
    arrays: dict[str, NDArray[Any]] = {
        "w": latent.ws.detach().cpu().numpy().astype(np.float32),
        "w_origin": latent.origin.detach().cpu().numpy().astype(np.float32),
        "generator": np.array(latent.generator),
        "space": np.array(latent.space),
        "photo_sha256": np.array(latent.photo_sha256),
        "report": np.array(json.dumps(latent.report)),
    }
    if latent.quad is not None:
        arrays["quad"] = latent.quad.astype(np.float64)
    for name, tensor in latent.noise.items():
        arrays[f"noise.{name}"] = tensor.detach().cpu().numpy().astype(np.float32)
    for name, tensor in latent.styles.items():
        arrays[f"style.{name}"] = tensor.detach().cpu().numpy().astype(np.float32)
    if latent.delta is not None:
        arrays |= pack_delta(latent.delta)
    if latent.correction is not None:
        arrays |= pack_correction(latent.correction)
    if latent.near is not None:
        arrays["w_near"] = latent.near.detach().cpu().numpy().astype(np.float32)
    write_atomic(path, lambda file: np.savez(file, allow_pickle=False, **arrays))


def load_latent(path: str | Path) -> Latent:
    """Read a latent of ours or a `projected_w.npz` of NVIDIA's; raises `LatentError` for anything else."""
    arrays = read_npz(path)
    if "w" not in arrays:
        raise LatentError(f"{path}: no array 'w' in it, so it is not a latent; give a latent.npz")
    ws = _codes(arrays["w"], "w", path)
    origin = _codes(arrays["w_origin"], "w_origin", path) if "w_origin" in arrays else ws
    near = _codes(arrays["w_near"], "w_near", path) if "w_near" in arrays else None
    for name, code in (("w_origin", origin), ("w_near", near)):
        if code is not None and code.shape != ws.shape:
            raise LatentError(f"{path}: 'w' is {list(ws.shape)} but '{name}' is {list(code.shape)}; invert again")
    return Latent(
        ws=ws,
        origin=origin,
        noise=_noise(arrays, path),
        generator=_text(arrays, "generator"),
        space=_text(arrays, "space") or "w+",
        quad=_quad(arrays, path),
        photo_sha256=_text(arrays, "photo_sha256"),
        report=_report(arrays, path),
        delta=unpack_delta(arrays, str(path)),
        correction=unpack_correction(arrays, str(path)),
        near=near,
        styles=unpack_styles(arrays, str(path)),
    )


def check_generator(latent: Latent, generator: Generator, source: str) -> None:
    """Refuse a latent of another generator; raises `LatentMismatchError` that names both.

    A file of another tool carries no fingerprint and is judged by its shape."""
    meta = generator.meta
    if latent.generator and latent.generator != meta.fingerprint:
        made_with = latent.report.get("generator", "another generator")
        raise LatentMismatchError(
            f"{source}: made with {made_with} ({latent.generator[:12]}), but the generator here is {meta.name} "
            f"({meta.fingerprint[:12]}); use --generator with the first, or invert the photo again with the second"
        )
    expected = (generator.num_ws, generator.w_dim)
    if latent.ws.shape[1:] != expected:
        raise LatentMismatchError(
            f"{source}: a code of {latent.ws.shape[1]} layers of {latent.ws.shape[2]}, but {meta.name} takes "
            f"{expected[0]} of {expected[1]}; invert the photo again with this generator"
        )
    for name, tensor in latent.noise.items():
        if name not in generator.noise or generator.noise[name].shape != tensor.shape:
            raise LatentMismatchError(f"{source}: its noise input {name} does not fit {meta.name}; invert again")
    if wrong := check_styles(latent.styles, generator):
        raise LatentMismatchError(f"{source}: its styles {wrong} do not fit {meta.name}; edit the photo again")
    if latent.delta is not None:
        check_delta(latent.delta, generator, source)
    if latent.correction is not None:
        check_correction(latent.correction, generator, source)


def _codes(array: NDArray[Any], name: str, path: str | Path) -> Tensor:
    if array.ndim == 2:
        array = array[None]
    fits = (
        array.ndim == 3 and array.shape[0] == 1 and 1 <= array.shape[1] <= MAX_WS and 1 <= array.shape[2] <= MAX_W_DIM
    )
    if not fits or not np.issubdtype(array.dtype, np.floating):
        raise LatentError(f"{path}: '{name}' is {array.dtype} {list(array.shape)}, expected float [1, num_ws, w_dim]")
    if not np.isfinite(array).all():
        raise LatentError(f"{path}: '{name}' holds NaN or infinite values; invert the photo again")
    return torch.from_numpy(array.astype(np.float32))


def _noise(arrays: dict[str, NDArray[Any]], path: str | Path) -> dict[str, Tensor]:
    noise = {}
    for name, array in arrays.items():
        if name.startswith("noise."):
            if not np.issubdtype(array.dtype, np.floating) or array.ndim != 2 or not np.isfinite(array).all():
                raise LatentError(f"{path}: '{name}' is not a finite map [H, W]; invert the photo again")
            noise[name.removeprefix("noise.")] = torch.from_numpy(array.astype(np.float32))
    return noise


def _quad(arrays: dict[str, NDArray[Any]], path: str | Path) -> NDArray[np.float64] | None:
    if "quad" not in arrays:
        return None
    quad = arrays["quad"]
    if quad.shape != (4, 2) or not np.issubdtype(quad.dtype, np.floating) or not np.isfinite(quad).all():
        raise LatentError(f"{path}: 'quad' is not four finite corners [4, 2]; invert the photo again")
    return quad.astype(np.float64)


def _text(arrays: dict[str, NDArray[Any]], name: str) -> str:
    return str(arrays[name]) if name in arrays and arrays[name].dtype.kind == "U" and arrays[name].ndim == 0 else ""


def _report(arrays: dict[str, NDArray[Any]], path: str | Path) -> dict[str, Any]:
    text = _text(arrays, "report")
    try:
        report = json.loads(text) if text else {}
    except (ValueError, RecursionError) as error:
        raise LatentError(f"{path}: its report is not JSON; invert the photo again") from error
    return report if isinstance(report, dict) else {}
