"""What can be downloaded: each is written into the session's folder when it is asked for."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from editing.edit import sealing
from editing.reach import measures_of
from editing.recipe import format_recipe
from editing.render import NOTE, write_photo
from editing.saved_expressions import save_expression
from editing.studio.archive import save_session
from editing.studio.session import SECOND, Session
from inversion.faces.measures import MEASURES
from inversion.latents import save_latent
from stylegan_core.credentials import Seal
from stylegan_core.errors import ConfigError
from stylegan_core.files import write_atomic, write_text
from stylegan_core.images import encode_png, to_uint8


def export(session: Session, what: str) -> Path:
    """Write one of `EXPORTS` into the session's folder and return its path."""
    if what not in EXPORTS:
        raise ConfigError(f"'{what}' is nothing to download; expected {', '.join(EXPORTS)}")
    with session.lock:
        return EXPORTS[what](session)


def _export_photo(session: Session) -> Path:
    path = session.folder / f"{session.stem()}_edited.png"
    write_photo(path, session.need_photo(), session.result()[0], _seal(session))
    return path


def _export_face(session: Session) -> Path:
    faces = session.edited_faces()
    path = session.folder / f"{session.stem()}_face.png"
    content = encode_png(np.concatenate([to_uint8(face.edited)[0] for face in faces], axis=1), NOTE)
    seal = _seal(session)
    content = seal(content, path.name) if seal else content
    write_atomic(path, lambda file: file.write(content))
    return path


def _seal(session: Session) -> Seal | None:
    """Return what signs the session's pictures, as `studio --sign` asks for it."""
    label, photo = session.label(session.history.now), session.need_photo()
    return sealing(session.signature, photo, label, session.generator, session.work.file)


def _export_latent(session: Session) -> Path:
    """Write latent.npz of one face, or a zip of faceN.npz of several."""
    latents = session.edited_latents()
    files = []
    for index, latent in latents.items():
        files.append(session.folder / f"{session.stem()}_face{index}.npz")
        save_latent(files[-1], latent)
    if len(files) == 1:
        return files[0]
    archive = session.folder / f"{session.stem()}_latents.zip"
    with zipfile.ZipFile(archive, "w") as bundle:
        for file in files:
            bundle.write(file, file.name)
    return archive


def _export_recipe(session: Session) -> Path:
    path = session.folder / "recipe.toml"
    write_text(path, format_recipe(session.recipe()))
    return path


def _export_expression(session: Session) -> Path:
    """Measure the face that is looked at as it is edited now."""
    face = session.edited_face()
    values = measures_of(face.edited, session.generator.meta.alignment)
    path = session.folder / f"{session.stem()}_expression.json"
    kept = {name: round(value, 4) for name, value in values.items() if MEASURES[name].expression}
    save_expression(path, kept, session.stem())
    return path


def _export_session(session: Session) -> Path:
    path = session.folder / f"{session.stem()}_session.zip"
    save_session(session, path)
    return path


def _export_second(session: Session) -> Path:
    if session.second is None:
        raise ConfigError("there is no second photo; load one first")
    return session.folder / SECOND


EXPORTS: dict[str, Callable[[Session], Path]] = {
    "photo": _export_photo,
    "face": _export_face,
    "latent": _export_latent,
    "recipe": _export_recipe,
    "second": _export_second,
    "session": _export_session,
    "expression": _export_expression,
}
