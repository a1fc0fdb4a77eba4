"""Content credentials (C2PA 2): say in a signed manifest what was done to a photo or film, and read what others say.

By c2pa-python (extra `c2pa`), with its looks into the network turned off."""

import io
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from stylegan_core.errors import ConfigError, ImageError, OutputError
from stylegan_core.files import read_bytes
from stylegan_core.film_frame import checksum_holds, has_room, with_checksum, with_room

SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/"
EDITED = SOURCE + "compositeWithTrainedAlgorithmicMedia"
MADE = SOURCE + "trainedAlgorithmicMedia"
MIME = {
    ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp", ".tif": "image/tiff",
    ".tiff": "image/tiff", ".gif": "image/gif", ".mp4": "video/mp4", ".m4v": "video/x-m4v", ".mov": "video/quicktime",
    ".avi": "video/avi",
}  # fmt: skip
Seal = Callable[[bytes, str], bytes]  # a file and its name, whose ending tells the format -> the same, signed
FRAME = "com.invertigo.frame"  # what of a film's action says that its brands hold a checksum
CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
MAX_KEY_BYTES = 1 << 20
UNTRUSTED = "signingCredential.untrusted"  # nobody vouches for the signer; the content is as it was signed
SETTINGS = {
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_timestamp_trust": False},
    "builder": {"thumbnail": {"enabled": False}},  # the photo before the edit is not shown on in the edited one
}


@dataclass(frozen=True)
class Done:
    """What was done to a picture, for its manifest."""

    label: str  # in words: `smile 1`
    generator: str
    fingerprint: str
    parent: bytes = b""  # the photo's or film's file; empty: the picture was made, not edited
    parent_name: str = ""  # of that file, its ending included
    stand_in: bytes = b""  # a PNG in the place of a parent that is no picture and cannot be recorded itself


@dataclass(frozen=True)
class Credentials:
    """What a picture's manifest says."""

    problems: list[str]  # why it does not hold; empty: the picture is as it was signed
    signer: str
    tool: str
    actions: list[str]  # `c2pa.edited: smile 1`
    parents: list[str]  # titles, with what their own credentials said


@dataclass(frozen=True)
class Signature:
    """A certificate chain and its private key."""

    chain: bytes
    key: bytes
    algorithm: str

    def seal(self, data: bytes, title: str, done: Done) -> bytes:
        """Return a file with a manifest of what was done; raises `OutputError` where the result would not hold.

        The ending of `title` tells its format (`MIME`)."""
        c2pa, kind = _c2pa("--sign"), MIME[Path(title).suffix.lower()]
        data = with_room(data) if kind == "video/mp4" else data
        is_checked = kind == "video/mp4" and has_room(data)
        action: dict[str, Any] = {"action": "c2pa.edited", "digitalSourceType": EDITED, "description": done.label}
        action["parameters"] = {
            "com.invertigo.generator": done.generator,
            "com.invertigo.fingerprint": done.fingerprint,
            **({FRAME: "crc32"} if is_checked else {}),
        }
        actions = [action]
        if done.parent:
            actions.insert(0, {"action": "c2pa.opened", "parameters": {"ingredientIds": ["parent"]}})
        else:
            actions.insert(0, {"action": "c2pa.created", "digitalSourceType": MADE})
        manifest = {
            "claim_generator_info": [{"name": "Invertigo", "version": version("invertigo")}],
            "title": title,
            "format": kind,
            "assertions": [{"label": "c2pa.actions", "data": {"actions": actions}}],
        }
        sealed = io.BytesIO()
        try:
            with c2pa.Context.from_dict(SETTINGS) as context:
                builder = c2pa.Builder(manifest, context)
                if done.parent:
                    about = {"title": done.parent_name, "relationship": "parentOf", "label": "parent"}
                    name, parent = sound_parent(done)
                    builder.add_ingredient(about, MIME[Path(name).suffix.lower()], io.BytesIO(parent))
                signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(self.algorithm, self.chain, self.key, None))
                builder.sign(signer, kind, io.BytesIO(data), sealed)
        except c2pa.C2paError as error:
            raise OutputError(
                f"{title}: cannot be signed ({_one_line(error)}); check the certificate of --sign"
            ) from None
        signed = with_checksum(sealed.getvalue()) if is_checked else sealed.getvalue()
        found = read_credentials(signed, title)
        if found is None or found.problems:
            why = ", ".join(found.problems) if found else "no manifest"
            raise OutputError(f"{title}: its signature does not hold ({why}); check the certificate of --sign")
        return signed


def load_signature(certificate: str, key: str) -> Signature:
    """Read a PEM certificate chain and its private key; raises `ConfigError`."""
    _c2pa("--sign")
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        chain, secret = (read_bytes(Path(path), MAX_KEY_BYTES) for path in (certificate, key))
    except ImageError as error:
        raise ConfigError(f"--sign: {error}") from None
    try:
        first = x509.load_pem_x509_certificates(chain)[0]
    except ValueError as error:
        raise ConfigError(f"--sign {certificate}: no certificate in PEM form ({_one_line(error)})") from None
    try:
        private = load_pem_private_key(secret, password=None)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"--sign {key}: no private key in PEM form without a password ({_one_line(error)})") from None
    if isinstance(private, ec.EllipticCurvePrivateKey):
        algorithm = CURVES.get(private.curve.name, "")
    else:
        algorithm = "ed25519" if isinstance(private, ed25519.Ed25519PrivateKey) else ""
        algorithm = "ps256" if isinstance(private, rsa.RSAPrivateKey) else algorithm
    if not algorithm:
        raise ConfigError(f"--sign {key}: a kind of key that C2PA does not know; use ES256, ED25519 or PS256")
    if private.public_key() != first.public_key():
        raise ConfigError(f"--sign: {key} is not the key of the first certificate in {certificate}; give its own")
    return Signature(chain, secret, algorithm)


def read_credentials(data: bytes, name: str) -> Credentials | None:
    """Return what the manifest in a picture or film says, and whether it holds; None where there is none.

    `name` tells the format by its ending. Nothing is fetched."""
    if not has_credentials(data, name):
        return None
    c2pa = _c2pa(f"{name}: to read content credentials")
    try:
        with c2pa.Context.from_dict(SETTINGS) as context:
            reader = c2pa.Reader.try_create(MIME[Path(name).suffix.lower()], io.BytesIO(data), context=context)
            store = json.loads(reader.json()) if reader else {}
    except (c2pa.C2paError, ValueError) as error:
        return Credentials([f"unreadable ({_one_line(error)})"], "", "", [], [])
    active = store.get("manifests", {}).get(store.get("active_manifest"), {})
    if not active:
        return Credentials(["there is no manifest that counts"], "", "", [], [])
    signature = active.get("signature_info", {})
    tool = (active.get("claim_generator_info") or [{}])[0]
    failures = store.get("validation_results", {}).get("activeManifest", {}).get("failure", [])
    problems = {str(item.get("code")) for item in failures if item.get("code") != UNTRUSTED}
    return Credentials(
        sorted(problems | _damages(data, active)),
        signature.get("common_name") or signature.get("issuer") or "unknown",
        f"{tool.get('name', 'unknown')} {tool.get('version', '')}".strip(),
        [_action(item) for item in _actions(active)],
        [_parent(item) for item in active.get("ingredients", [])],
    )


def has_credentials(data: bytes, name: str) -> bool:
    """Tell whether a picture or film may hold a manifest, without reading it: C2PA's boxes carry its name."""
    return Path(name).suffix.lower() in MIME and b"c2pa" in data and b"jumb" in data


def _damages(data: bytes, manifest: dict[str, Any]) -> set[str]:
    """Name what is damaged of the frame around the picture and the manifest, which is not under its signature."""
    found = {"png.damaged"} if _is_damaged_png(data) else set()
    is_checked = any(FRAME in (action.get("parameters") or {}) for action in _actions(manifest))
    return found | ({"mp4.damaged"} if is_checked and not checksum_holds(data) else set())


def _is_damaged_png(data: bytes) -> bool:
    """Tell whether a chunk of a PNG does not fit its checksum."""
    if data[:4] != b"\x89PNG":
        return False
    place, end = 8, len(data)
    while place < end:
        length = int.from_bytes(data[place : place + 4], "big")
        body, stored = data[place + 4 : place + 8 + length], data[place + 8 + length : place + 12 + length]
        if len(stored) < 4 or zlib.crc32(body) != int.from_bytes(stored, "big"):
            return True
        place += 12 + length
    return False


def sound_parent(done: Done) -> tuple[str, bytes]:
    """Return the name and bytes of what to record as the parent.

    A photo whose own manifest is broken goes in as its pixels alone, as does one of a format C2PA does not know; a film
    as its stand-in."""
    known = Path(done.parent_name).suffix.lower() in MIME
    found = read_credentials(done.parent, done.parent_name) if known else None
    if known and (found is None or not found.problems):
        return done.parent_name, done.parent
    if done.stand_in:
        return "frame.png", done.stand_in
    from stylegan_core.images import decode_photo, encode_png

    return "photo.png", encode_png(decode_photo(done.parent, Path(done.parent_name)).rgb)


def describe_credentials(found: Credentials | None) -> dict[str, str]:
    """Return the lines that `invertigo info` prints of a picture's credentials."""
    if found is None:
        return {"content credentials": "none"}
    state = f"BROKEN: {', '.join(found.problems)}" if found.problems else "hold: the picture is as it was signed"
    lines = {"content credentials": state}
    if found.signer:
        lines |= {"signed by": f"{found.signer} (who that is, nobody here vouches for)", "signed with": found.tool}
    lines |= {f"step {number}": text for number, text in enumerate(found.actions, 1)}
    return lines | {f"made from {number}": text for number, text in enumerate(found.parents, 1)}


def _actions(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    found = [item for item in manifest.get("assertions", []) if str(item.get("label", "")).startswith("c2pa.actions")]
    return [action for item in found for action in item.get("data", {}).get("actions", [])]


def _action(action: dict[str, Any]) -> str:
    said = action.get("description") or str(action.get("digitalSourceType", "")).rpartition("/")[2]
    return f"{action.get('action', '?')}: {said}" if said else str(action.get("action", "?"))


def _parent(ingredient: dict[str, Any]) -> str:
    title = str(ingredient.get("title", "untitled"))
    return f"{title} (with credentials of its own)" if ingredient.get("active_manifest") else f"{title} (without any)"


def _c2pa(what: str) -> Any:
    """Import c2pa-python; raises `ConfigError` that names the extra."""
    try:
        import c2pa
    except ImportError:
        raise ConfigError(f"{what}: c2pa-python is not installed; run pip install 'invertigo[c2pa]'") from None
    return c2pa


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
