"""Content credentials: what was done is signed, a changed byte is noticed, and a broken manifest goes no further."""

import datetime
import io
import json
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import cli
from stylegan_core.credentials import Done, load_signature, read_credentials
from stylegan_core.errors import ConfigError, OutputError
from stylegan_core.images import encode_png

c2pa = pytest.importorskip("c2pa")
pytest.importorskip("cryptography")


def write_signer(folder, name="signer", days=365, kind="ec"):
    """A certificate chain and a key as C2PA wants them, of an authority that nobody knows."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def subject(text):
        fields = {NameOID.COMMON_NAME: text, NameOID.ORGANIZATION_NAME: "Invertigo's tests", NameOID.COUNTRY_NAME: "DE"}
        return x509.Name([x509.NameAttribute(oid, value) for oid, value in fields.items()])

    root = ec.generate_private_key(ec.SECP256R1())
    own = root if kind == "root" else ec.generate_private_key(ec.SECP256R1())
    own = rsa.generate_private_key(65537, 2048) if kind == "rsa" else own
    now = datetime.datetime.now(datetime.timezone.utc)

    def certificate(text, key, authority):
        usage = dict.fromkeys(
            ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
             "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"), False,
        )  # fmt: skip
        usage["key_cert_sign" if authority else "digital_signature"] = True
        builder = x509.CertificateBuilder().subject_name(subject(text)).issuer_name(subject("root"))
        builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(days=800))
        builder = builder.not_valid_after(now + datetime.timedelta(days=days))
        builder = builder.add_extension(x509.BasicConstraints(authority, None), True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key()), False)
        builder = builder.add_extension(x509.KeyUsage(**usage), True)
        if not authority:
            builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)
        return builder.sign(root, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    (folder / f"{name}.pem").write_bytes(certificate(name, own, False) + certificate("root", root, True))
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / f"{name}.key").write_bytes(own.private_bytes(pem, form, serialization.NoEncryption()))
    return str(folder / f"{name}.pem"), str(folder / f"{name}.key")


@pytest.fixture(scope="module")
def signer(tmp_path_factory):
    return write_signer(tmp_path_factory.mktemp("signer"))


def picture(seed=0, side=48):
    return np.random.RandomState(seed).randint(0, 255, (side, side, 3), np.uint8)


def jpeg(rgb):
    content = io.BytesIO()
    Image.fromarray(rgb).save(content, "JPEG")
    return content.getvalue()


DONE = Done("smile 1", "faces64", "ab" * 32, jpeg(picture(1)), "me.jpg")


@pytest.fixture(scope="module")
def sealed(signer):
    return load_signature(*signer).seal(encode_png(picture()), "photo_edited.png", DONE)


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_what_was_done_is_signed_and_read_again(tmp_path, kind):
    signature = load_signature(*write_signer(tmp_path, kind=kind))
    data = signature.seal(encode_png(picture()), "photo_edited.png", DONE)
    found = read_credentials(data, "photo_edited.png")
    assert found.problems == []
    assert found.actions == ["c2pa.opened", "c2pa.edited: smile 1"]
    assert found.parents == ["me.jpg (without any)"]
    assert found.signer == "signer" and found.tool.startswith("Invertigo")
    assert (np.asarray(Image.open(io.BytesIO(data))) == picture()).all()


def test_the_manifest_says_that_the_edit_is_a_network_s_and_shows_no_picture_of_the_photo(sealed):
    store = json.loads(c2pa.Reader("image/png", io.BytesIO(sealed)).json())
    manifest = store["manifests"][store["active_manifest"]]
    (actions,) = [item["data"]["actions"] for item in manifest["assertions"] if "c2pa.actions" in item["label"]]
    edited = next(action for action in actions if action["action"] == "c2pa.edited")
    assert edited["digitalSourceType"].endswith("/compositeWithTrainedAlgorithmicMedia")
    assert edited["parameters"]["com.invertigo.generator"] == "faces64"
    assert manifest["ingredients"][0]["relationship"] == "parentOf"
    assert "thumbnail" not in manifest and "thumbnail" not in manifest["ingredients"][0]


def test_a_picture_without_a_photo_is_said_to_be_made(signer):
    data = load_signature(*signer).seal(encode_png(picture()), "edited.png", Done("smile 1", "faces64", "ab" * 32))
    found = read_credentials(data, "edited.png")
    assert found.problems == [] and found.parents == []
    assert found.actions == ["c2pa.created: trainedAlgorithmicMedia", "c2pa.edited: smile 1"]


def test_one_flipped_byte_is_noticed_wherever_it_is(sealed):
    start = (
        sealed.index(b"caBX") - 4
    )  # the signature covers all but the frame of the manifest itself, byte by byte here
    places = {*range(start, start + 100), *range(0, len(sealed), max(1, len(sealed) // 100))}
    for place in sorted(places):
        changed = bytearray(sealed)
        changed[place] ^= 1
        found = read_credentials(bytes(changed), "photo_edited.png")
        assert found is None or found.problems, place
        assert found is not None, f"the manifest is overlooked after a flip at {place}"


def test_info_shows_both_and_fails_for_a_changed_file(sealed, tmp_path):
    path = tmp_path / "photo_edited.png"
    path.write_bytes(sealed)
    result = CliRunner().invoke(cli.main, ["info", str(path)])
    assert result.exit_code == 0, result.output
    for text in ("hold: the picture is as it was signed", "c2pa.edited: smile 1", "made from 1: me.jpg", "48 x 48"):
        assert text in result.output
    changed = encode_png(picture(2))  # the manifest moved to another picture
    start = sealed.index(b"caBX") - 4
    end = start + 12 + int.from_bytes(sealed[start : start + 4], "big")
    path.write_bytes(changed[:33] + sealed[start:end] + changed[33:])
    result = CliRunner().invoke(cli.main, ["info", str(path)])
    assert result.exit_code == 1
    assert "BROKEN: assertion.dataHash.mismatch" in result.output and "not as it was signed" in result.output


def test_what_the_photo_says_is_kept_as_long_as_it_holds(signer, sealed):
    signature = load_signature(*signer)
    again = Done("age 1", "faces64", "ab" * 32, sealed, "photo_edited.png")
    found = read_credentials(signature.seal(encode_png(picture(3)), "twice.png", again), "twice.png")
    assert found.problems == []
    assert found.parents == ["photo_edited.png (with credentials of its own)"]
    broken = encode_png(picture(2))[:33] + manifest_chunk(sealed) + encode_png(picture(2))[33:]
    data = signature.seal(encode_png(picture(3)), "twice.png", Done("age 1", "f", "ab", broken, "photo_edited.png"))
    assert read_credentials(data, "twice.png").parents == ["photo_edited.png (without any)"]
    assert b"smile 1" not in data


def manifest_chunk(png):
    start = png.index(b"caBX") - 4
    return png[start : start + 12 + int.from_bytes(png[start : start + 4], "big")]


def test_a_key_or_certificate_that_does_not_serve_is_a_sentence(signer, tmp_path):
    other = write_signer(tmp_path, "other")
    with pytest.raises(ConfigError, match="is not the key of the first certificate"):
        load_signature(signer[0], other[1])
    with pytest.raises(ConfigError, match="no certificate in PEM form"):
        load_signature(signer[1], signer[1])
    with pytest.raises(ConfigError, match="no private key in PEM form"):
        load_signature(signer[0], signer[0])
    with pytest.raises(ConfigError, match="no such file"):
        load_signature(signer[0], str(tmp_path / "none.key"))
    expired = load_signature(*write_signer(tmp_path, "expired", days=-10))
    with pytest.raises(OutputError, match="check the certificate of --sign"):
        expired.seal(encode_png(picture()), "a.png", DONE)


def test_without_the_package_the_extra_is_named(signer, sealed, monkeypatch):
    monkeypatch.setitem(sys.modules, "c2pa", None)
    with pytest.raises(ConfigError, match=r"pip install 'invertigo\[c2pa\]'"):
        load_signature(*signer)
    with pytest.raises(ConfigError, match=r"pip install 'invertigo\[c2pa\]'"):
        read_credentials(sealed, "a.png")
    assert read_credentials(encode_png(picture()), "a.png") is None  # nothing to read needs no package


def test_the_commands_sign_what_they_write(signer, tmp_path):
    Image.fromarray(picture(side=64)).save(tmp_path / "me.png")
    options = ["--generator", "faces64", "--no-align", "--steps", "0", "--device", "cpu", "--paste", "full"]
    common = ["edit", str(tmp_path / "me.png"), "--transfer", "smile:0.5", *options, "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(cli.main, [*common, "--sign", *signer])
    assert result.exit_code == 0, result.output
    for name in ("photo_edited.png", "edited.png"):
        found = read_credentials((tmp_path / "out/me/face0" / name).read_bytes(), name)
        assert found.problems == [] and found.parents == ["me.png (without any)"]
        assert found.actions[-1].startswith("c2pa.edited: smile 0.5")
    result = CliRunner().invoke(cli.main, [*common[:-1], str(tmp_path / "no"), "--sign", signer[0], signer[0]])
    assert result.exit_code == 2 and not (tmp_path / "no").exists()
    recipe = tmp_path / "r.toml"
    recipe.write_text('[invert]\nsteps = 0\nalign = false\n[[edit]]\ntransfer = "smile"\n[output]\npaste = "full"\n')
    command = ["batch", str(tmp_path / "me.png"), "--recipe", str(recipe), "--workers", "1", "--sign", *signer]
    result = CliRunner().invoke(cli.main, [*command, "--out", str(tmp_path / "batch")])
    assert result.exit_code == 0, result.output
    (written,) = (tmp_path / "batch").rglob("photo_edited.png")
    assert read_credentials(written.read_bytes(), written.name).problems == []


QUIET_PIPES = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # imageio-ffmpeg's


def film_of(folder, name="a.mp4", num=4, seed=0):
    from stylegan_core.films import write_mp4

    pytest.importorskip("imageio_ffmpeg")
    write_mp4(folder / name, [picture(seed + i, 32) for i in range(num)], 10.0, "made for a test")
    return folder / name


@pytest.fixture(scope="module")
def sealed_film(signer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("film")
    source = film_of(folder, "source.mp4")
    first = encode_png(picture(0, 32))
    done = Done("smile 1", "faces64", "ab" * 32, source.read_bytes(), source.name, first)
    return load_signature(*signer).seal(film_of(folder, seed=7).read_bytes(), "video.mp4", done)


@QUIET_PIPES
def test_a_film_is_signed_and_still_plays(sealed_film, tmp_path):
    from stylegan_core.films import open_film

    found = read_credentials(sealed_film, "video.mp4")
    assert found.problems == [] and found.parents == ["source.mp4 (without any)"]
    assert found.actions == ["c2pa.opened", "c2pa.edited: smile 1"]
    (tmp_path / "video.mp4").write_bytes(sealed_film)
    assert len(list(open_film(tmp_path / "video.mp4").frames())) == 4
    result = CliRunner().invoke(cli.main, ["info", str(tmp_path / "video.mp4")])
    assert result.exit_code == 0 and "hold: the picture is as it was signed" in result.output, result.output


@QUIET_PIPES
def test_one_flipped_byte_of_a_film_is_noticed_wherever_it_is(sealed_film, tmp_path):
    first = [*range(80)]  # the brands, and the wrapping of the manifest
    for place in [*first, *range(80, len(sealed_film), max(1, len(sealed_film) // 100))]:
        changed = bytearray(sealed_film)
        changed[place] ^= 1
        found = read_credentials(bytes(changed), "video.mp4")
        assert found is not None and found.problems, place
    (tmp_path / "video.mp4").write_bytes(changed)
    result = CliRunner().invoke(cli.main, ["info", str(tmp_path / "video.mp4")])
    assert result.exit_code == 1 and "BROKEN" in result.output


@QUIET_PIPES
def test_a_film_whose_manifest_is_broken_passes_nothing_of_it_on(signer, sealed_film, tmp_path):
    broken = bytearray(sealed_film)
    broken[sealed_film.index(b"mdat") + 20] ^= 1
    done = Done("age 1", "faces64", "ab" * 32, bytes(broken), "video.mp4", encode_png(picture(0, 32)))
    data = load_signature(*signer).seal(film_of(tmp_path).read_bytes(), "again.mp4", done)
    found = read_credentials(data, "again.mp4")
    assert found.problems == [] and found.parents == ["video.mp4 (without any)"]
    assert b"smile 1" not in data


@QUIET_PIPES
def test_films_of_the_commands_are_signed(signer, tmp_path, astronaut):
    pytest.importorskip("imageio_ffmpeg")
    (tmp_path / "in").mkdir()
    for index in range(2):
        Image.fromarray(astronaut[:256, 100:356]).save(tmp_path / "in" / f"{index}.png")
    words = ["video", str(tmp_path / "in"), "--transfer", "smile:-1", "--steps", "1", "--passes", "1"]
    result = CliRunner().invoke(cli.main, [*words, "--out", str(tmp_path / "out"), "--sign", *signer])
    assert result.exit_code == 0, result.output
    found = read_credentials((tmp_path / "out" / "video.mp4").read_bytes(), "video.mp4")
    assert found.problems == [] and found.parents == ["0.png (without any)"]
    assert found.actions == ["c2pa.opened", "c2pa.edited: smile -1"]
    for kind in ("mp4", "gif"):
        words = ["interpolate", "1", "2", "--frames", "3", "--format", kind, "--out", str(tmp_path / kind)]
        result = CliRunner().invoke(cli.main, [*words, "--generator", "faces64", "--sign", *signer])
        assert result.exit_code == 0, result.output
        film = tmp_path / kind / f"interpolation.{kind}"
        found = read_credentials(film.read_bytes(), film.name)
        assert found.problems == [] and found.actions[0] == "c2pa.created: trainedAlgorithmicMedia"


def test_what_the_studio_gives_away_is_signed(signer, tmp_path, astronaut_file):
    from editing.studio.exports import export
    from editing.studio.session import SearchChoice, Session
    from inversion.config import InvertConfig, ProjectionConfig
    from inversion.invert import Inverter

    inverter = Inverter(InvertConfig(), ProjectionConfig(steps=1))
    session = Session(inverter, tmp_path / "session", 10_000_000, signature=load_signature(*signer))
    session.load_photo(astronaut_file)
    session.start_inversion([0], SearchChoice("project", "w+", 1, 0)).result()
    for what in ("photo", "face"):
        path = export(session, what)
        found = read_credentials(path.read_bytes(), path.name)
        assert found.problems == [] and found.parents == [f"{astronaut_file.name} (without any)"]
        assert [action.split(":")[0] for action in found.actions] == ["c2pa.opened", "c2pa.edited"]
    session.close()
