"""A whole session in one file: a zip of the photos, their codes as latents, and the edits as JSON and as recipes.

It may come from a stranger: names are compared with what is expected and never used as paths, sizes are limited before
anything is unpacked, and nothing in it is run."""

import json
import re
import secrets
import zipfile
import zlib
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from editing.recipe import format_recipe, parse_recipe
from editing.studio.recorded import read_history, read_record, record
from editing.studio.session import SECOND, SLOTS, Session
from editing.studio.work import MAX_KEPT, MAX_PHOTOS, Gallery, Work
from inversion.invert import AlignedFace, InvertedFace
from inversion.latents import Latent, check_generator, load_latent, save_latent
from inversion.render import render_code
from stylegan_core.directions import Direction, check_direction, load_direction, save_direction
from stylegan_core.errors import ConfigError
from stylegan_core.files import write_atomic
from stylegan_core.images import decode_photo, encode_png

FORMAT, VERSION = "invertigo session", 1
INDEX = "session.json"
MAX_BYTES = 1 << 30  # of what is in it, unpacked
MAX_MEMBERS = 512
MAX_TEXT = 4 << 20  # bytes of the index, and of a recipe
MAX_PICTURE = 1 << 20  # bytes of a gallery's picture
MEMBERS = re.compile(
    r"session\.json|second\.npz|photo\d{1,3}\.bin|face\d{1,3}-\d{1,4}\.npz|recipe\d{1,3}\.toml|kept\d{1,6}\.png"
    r"|direction\d{1,3}\.npz"
)
Value = TypeVar("Value")


def save_session(session: Session, path: Path) -> None:
    """Write all of a session's work into a zip, atomically."""
    with session.lock:
        write_atomic(path, lambda file: _write(session, zipfile.ZipFile(file, "w")))


def open_session(session: Session, path: Path) -> None:
    """Bring a saved session back in place of what is there; raises `ToolkitError` and changes nothing for a file that
    is damaged, of another generator, or none of ours."""
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(archive, path.name)
            saved = _Saved(session, archive, path.name)
            works, kept = saved.works(), saved.gallery()
    except (zipfile.BadZipFile, OSError, EOFError, RuntimeError, NotImplementedError, zlib.error) as error:
        raise ConfigError(f"{path.name}: no session's file, or a damaged one ({error}); give one that was saved here"
                          ) from error  # fmt: skip
    with session.lock:
        session.cancel()
        session.gallery, session.own, session.second = kept, saved.own, saved.second
        if saved.second is not None:
            save_latent(session.folder / SECOND, saved.second.latent)
        session.start_with(works[0])  # the one that was worked on


def _write(session: Session, archive: zipfile.ZipFile) -> None:
    """Write the members; the index comes last, since it names them."""
    with closing(archive):
        names = {path: f"direction{number}.npz" for number, path in enumerate(session.own)}
        works = list(dict.fromkeys([session.work, *(kept.work for kept in session.gallery)]))
        for path, direction in session.own.items():
            _add(archive, session, names[path], lambda file, of=direction: save_direction(file, of))  # type: ignore[misc]
        if session.second is not None:
            archive.write(session.folder / SECOND, SECOND)
        kept = []
        for one in session.gallery:
            archive.writestr(f"kept{one.number}.png", encode_png(one.picture))
            edit = record(one.dials, names)
            kept.append({"number": one.number, "photo": works.index(one.work), "label": one.label, "edit": edit})
        index = {
            "format": FORMAT, "version": VERSION, "generator": session.generator.meta.name,
            "fingerprint": session.generator.meta.fingerprint, "second": session.second is not None,
            "directions": {name: Path(path).name for path, name in names.items()}, "gallery": kept,
            "photos": [_write_work(session, archive, work, number, names) for number, work in enumerate(works)],
        }  # fmt: skip
        archive.writestr(INDEX, json.dumps(index, indent=1))


def _write_work(
    session: Session, archive: zipfile.ZipFile, work: Work, number: int, names: Mapping[str, str]
) -> dict[str, Any]:
    """Write a photo, its codes and the recipe of its present edit; return its entry in the index."""
    if work.photo is None or work.file is None:
        raise ConfigError("there is no photo yet, so there is nothing to save")
    archive.write(work.file, f"photo{number}.bin")
    for index, found in work.inverted.items():
        _add(archive, session, f"face{number}-{index}.npz", lambda file, of=found.latent: save_latent(file, of))  # type: ignore[misc]
    archive.writestr(f"recipe{number}.toml", format_recipe(session.recipe(work)), zipfile.ZIP_DEFLATED)
    return {
        "name": work.photo.path.name, "align": work.align, "faces": list(work.inverted),
        "history": [record(dials, names) for dials in work.history.entries], "position": work.history.position,
        "slots": {slot: record(dials, names) for slot, dials in work.slots.items()},
    }  # fmt: skip


def _add(archive: zipfile.ZipFile, session: Session, name: str, save: Callable[[Path], None]) -> None:
    """Add what `save` writes to a file."""
    file = session.folder / "saved" / name
    save(file)
    archive.write(file, name)
    file.unlink()


def _check_members(archive: zipfile.ZipFile, source: str) -> None:
    """Refuse names that no session has, and more than is unpacked."""
    members = archive.infolist()
    names = [member.filename for member in members]
    if len(members) > MAX_MEMBERS or sum(member.file_size for member in members) > MAX_BYTES:
        raise ConfigError(f"{source}: claims more than {MAX_BYTES:,} bytes unpacked; it is no session's file")
    odd = [name for name in names if not MEMBERS.fullmatch(name)]
    if odd or len(set(names)) != len(names) or INDEX not in names:
        what = f"a member '{odd[0][:60]}' in it" if odd else "its members are not those of a session"
        raise ConfigError(f"{source}: {what}; give a file that was saved by the studio")


def _file_name(text: str, else_named: str) -> str:
    """Return a file's name that a stranger gave, without folders and without what file systems do not take."""
    name = re.sub(r"[^\w.() +-]", "_", Path(text.replace("\\", "/")).name)[-100:].lstrip(".")
    return name or else_named


class _Saved:
    """What a file holds, read with its claims checked; nothing of the session is changed meanwhile."""

    def __init__(self, session: Session, archive: zipfile.ZipFile, source: str) -> None:
        self.session, self.archive, self.source = session, archive, source
        self.index = self._index()
        meta = session.generator.meta
        if self.index.get("fingerprint") != meta.fingerprint:
            raise ConfigError(
                f"{source}: made with the generator {str(self.index.get('generator'))[:60]} "
                f"({str(self.index.get('fingerprint'))[:12]}), but the one here is {meta.name} "
                f"({meta.fingerprint[:12]}); load that one under Generator first"
            )
        self.own: dict[str, Direction] = {}
        self.files: dict[str, str] = {}  # of directions, by their names in the file
        for name, called in self._entry("directions", dict).items():
            self._direction(name, called)
        self.second = self._second() if self.index.get("second") is True else None
        self.second_file = str(session.folder / SECOND) if self.second else ""
        self._works: list[Work] = []

    def works(self) -> list[Work]:
        """Read the photos and what was done to them."""
        entries = self._entry("photos", list)
        if not 1 <= len(entries) <= MAX_PHOTOS + 1:
            raise ConfigError(f"{self.source}: {len(entries)} photos in it; expected 1 to {MAX_PHOTOS + 1}")
        self._works = [self._work(number, entry) for number, entry in enumerate(entries)]
        return self._works

    def gallery(self) -> Gallery:
        """Read the gallery of the photos."""
        gallery = Gallery()
        for entry in self._entry("gallery", list)[-MAX_KEPT:]:
            number, place = self._of(entry, "number", int), self._of(entry, "photo", int)
            label = self._of(entry, "label", str)
            if not 0 <= place < len(self._works):
                raise ConfigError(f"{self.source}: its gallery names a photo that is not in it")
            picture = decode_photo(self._read(f"kept{number}.png", MAX_PICTURE), Path("picture.png"), 1_000_000).rgb
            gallery.add(self._works[place], self._dials(entry.get("edit")), picture, label[:500])
        return gallery

    def _work(self, number: int, entry: Any) -> Work:
        name, align = _file_name(self._of(entry, "name", str), "photo.png"), self._of(entry, "align", bool)
        content = self._read(f"photo{number}.bin", self.session.max_bytes)
        work = self.session.open_work(content, name, align)
        for index in self._of(entry, "faces", list):
            latent = self._latent(f"face{number}-{index}.npz")
            if work.photo is None or latent.photo_sha256 != work.photo.sha256 or latent.quad is None:
                raise ConfigError(f"{self.source}: a code in it is of another photo; save the session again")
            work.inverted[int(index)] = self._inverted(work, int(index), latent)
        recipe = parse_recipe(self._read(f"recipe{number}.toml", MAX_TEXT).decode("utf-8", "replace"), self.source)
        work.recipe = replace(recipe, edits=())
        work.history = read_history(entry.get("history"), entry.get("position"), self.files, self.second_file)
        slots = self._of(entry, "slots", dict)
        work.slots = {slot: self._dials(slots[slot]) for slot in SLOTS if slot in slots}
        return work

    def _inverted(self, work: Work, index: int, latent: Latent) -> InvertedFace:
        assert work.photo is not None and latent.quad is not None
        face = self.session.inverter.cut_out(work.photo, index, latent.quad)
        return InvertedFace(face, render_code(self.session.generator, replace(latent, ws=latent.origin)), latent)

    def _second(self) -> InvertedFace:
        latent = self._latent(SECOND)
        if latent.quad is None or not isinstance(latent.report.get("photo"), dict):
            raise ConfigError(f"{self.source}: its second photo is damaged; save the session again")
        latent.report["photo"].setdefault("name", "second")
        image = render_code(self.session.generator, latent)
        return InvertedFace(AlignedFace(0, latent.quad, image, 1.0), image, latent)

    def _direction(self, name: str, called: Any) -> None:
        if not re.fullmatch(r"direction\d{1,3}\.npz", name) or not isinstance(called, str):
            raise ConfigError(f"{self.source}: its list of directions is damaged; save the session again")
        kept = self.session.folder / "directions" / secrets.token_hex(8) / _file_name(called, name)
        direction = self._loaded(name, load_direction)
        check_direction(direction, self.session.generator, self.source)
        save_direction(kept, direction)
        self.own[str(kept)], self.files[name] = direction, str(kept)

    def _latent(self, name: str) -> Latent:
        latent = self._loaded(name, load_latent)
        check_generator(latent, self.session.generator, self.source)
        return latent

    def _loaded(self, name: str, load: Callable[[Path], Value]) -> Value:
        """Load a member by way of a file of its own."""
        file, content = self.session.folder / "opened" / "member.npz", self._read(name, MAX_BYTES)
        write_atomic(file, lambda out: out.write(content))
        try:
            return load(file)
        finally:
            file.unlink()

    def _dials(self, value: Any) -> Any:
        return read_record(value, self.files, self.second_file)

    def _index(self) -> dict[str, Any]:
        try:
            index = json.loads(self._read(INDEX, MAX_TEXT))
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{self.source}: its index is damaged; save the session again") from error
        if not isinstance(index, dict) or index.get("format") != FORMAT or index.get("version") != VERSION:
            raise ConfigError(f"{self.source}: no session of this studio (format {VERSION}) in it")
        return index

    def _read(self, name: str, most: int) -> bytes:
        """Read a member, of which no more than `most` bytes are unpacked."""
        if name not in self.archive.namelist():
            raise ConfigError(f"{self.source}: {name[:60]} is missing in it; save the session again")
        with self.archive.open(name) as file:
            content = file.read(most + 1)
        if len(content) > most:
            raise ConfigError(f"{self.source}: {name} is larger than the {most:,} bytes that are read")
        return content

    def _entry(self, name: str, kind: type[Value]) -> Value:
        return self._of(self.index, name, kind)

    def _of(self, entry: Any, name: str, kind: type[Value]) -> Value:
        value = entry.get(name) if isinstance(entry, dict) else None
        if not isinstance(value, kind):
            raise ConfigError(f"{self.source}: its index is damaged at '{name}'; save the session again")
        return value
