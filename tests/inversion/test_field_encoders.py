"""The field's encoders: parity with their own implementations, files, refusals, and their use by the commands."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from field_files import DEPTHS, SMALL, W_DIM, rule_input, rule_weights, small_decoder, small_weights, write_field_file
from PIL import Image
from torch.testing import assert_close

import cli
from inversion.encoder import find_encoder, guess_codes, guess_w
from inversion.encoders.arcface import ArcFace, arcface_crop, load_arcface
from inversion.encoders.backbone import BackboneShape, backbone_shape
from inversion.encoders.files import KINDS, load_encoder_file, style_depths
from stylegan_core.checkpoints.load import load_generator
from stylegan_core.checkpoints.native import Description, save_generator
from stylegan_core.errors import CheckpointError, LatentMismatchError, UnsafePickleError
from stylegan_core.networks.protocol import Alignment

DATA = Path(__file__).resolve().parent.parent / "data" / "encoders"
CPU = torch.device("cpu")
PUBLISHED = {
    "e4e": "Encoder4Editing",
    "psp": "GradualStyleEncoder",
    "restyle-psp": "BackboneEncoder",
    "restyle-e4e": "ProgressiveBackboneEncoder",
    "backbone": "BackboneEncoderUsingLastLayerIntoW",
}


def assert_parity(found, fixture):
    expected = torch.from_numpy(fixture["output"])
    assert (found.reshape(expected.shape) - expected).abs().max() < 1e-4 * expected.std()


def test_arcface_equals_its_own_implementation():
    fixture = np.load(DATA / "arcface.npz")
    weights = rule_weights(fixture["keys"])
    network = ArcFace(backbone_shape(weights), 512).eval()
    network.load_state_dict(weights)
    with torch.no_grad():
        assert_parity(network(rule_input(3, 112)), fixture)


@pytest.mark.slow  # weights of 100 to 800 MB
@pytest.mark.parametrize("name", PUBLISHED)
def test_encoders_equal_their_own_implementations(name):
    fixture = np.load(DATA / f"{name}.npz")
    weights = rule_weights(fixture["keys"])
    shape = backbone_shape(weights)
    network = KINDS[PUBLISHED[name]].build(shape, 512, style_depths(weights)).eval()
    network.load_state_dict(weights)
    with torch.no_grad():
        assert_parity(network(rule_input(shape.in_channels, 256)), fixture)


def saved_codes(path, targets, kind):
    """The codes of a file by plain steps: shrink or enlarge, network, mean of W, and ReStyle's loop."""
    generator, content = load_generator(path), torch.load(path, weights_only=True)
    weights = small_weights(kind)
    iterative = KINDS[kind].iterative
    network = KINDS[kind].build(backbone_shape(weights), W_DIM, (4,) * 8 if iterative else DEPTHS).eval()
    network.load_state_dict(weights)
    images = F.interpolate(targets, size=(256, 256), mode="bilinear", antialias=True)
    average = content["latent_avg"].expand(len(targets), 8, -1)
    if not iterative:
        return average + network(images)
    ws, shown = average, average
    for _ in range(content["opts"]["n_iters_per_batch"]):
        picture = F.adaptive_avg_pool2d(generator.synthesis(shown), 256)
        ws = ws + network(torch.cat([images, picture], dim=1))
        shown = ws
    return ws


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_alone_is_generator_and_encoder(tmp_path, kind):
    path = write_field_file(tmp_path / "field.pt", kind, n_iters_per_batch=3)
    generator = load_generator(path)
    targets = torch.rand(2, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        expected = saved_codes(path, targets, kind)
    assert_close(guess_codes(generator, targets), expected, atol=1e-5, rtol=1e-4)
    assert_close(guess_codes(generator, targets[1:]), expected[1:], atol=1e-4, rtol=1e-4)  # whatever its neighbours
    assert_close(guess_w(generator, targets), expected.mean(dim=1), atol=1e-5, rtol=1e-4)
    assert find_encoder(generator).report["encoder"] == KINDS[kind].title


@pytest.mark.parametrize("changes", [{"namespace": True}, {"latent_avg": "one"}, {"latent_avg": None}])
def test_options_and_means_are_read_in_every_form_in_use(tmp_path, changes):
    plain = write_field_file(tmp_path / "plain.pt", "Encoder4Editing")
    other = write_field_file(tmp_path / "other.pt", "Encoder4Editing", **changes)
    targets = torch.rand(1, 3, 32, 32)
    generator = load_generator(plain)
    found = guess_codes(generator, targets, str(other))
    assert_close(found, guess_codes(generator, targets), atol=1e-5, rtol=1e-5)


def test_an_encoder_that_does_not_start_from_the_mean_gives_codes_themselves(tmp_path):
    path = write_field_file(tmp_path / "psp.pt", "GradualStyleEncoder", start_from_latent_avg=False)
    targets = torch.rand(1, 3, 32, 32)
    generator = load_generator(path)
    shifted = write_field_file(tmp_path / "start.pt", "GradualStyleEncoder")
    expected = guess_codes(generator, targets, str(shifted)) - generator.w_avg
    assert_close(guess_codes(generator, targets), expected, atol=1e-5, rtol=1e-5)


def test_the_same_decoder_in_another_format_takes_the_encoder(tmp_path):
    decoder = small_decoder()
    path = write_field_file(tmp_path / "e4e.pt", "Encoder4Editing", decoder)
    save_generator(tmp_path / "ours.safetensors", decoder)
    ours = load_generator(tmp_path / "ours.safetensors")
    assert find_encoder(ours) is None
    assert find_encoder(ours, str(path)).report["encoder"] == "e4e"
    ours.mapping.w_avg.add_(1)  # tools estimate the mean of W anew; the encoder's own is what counts
    ours.meta = type(ours.meta)("moved", "test", "1" * 64)
    targets = torch.rand(1, 3, 32, 32)
    assert_close(guess_codes(ours, targets, str(path)), guess_codes(load_generator(path), targets))


def test_another_generator_is_refused_and_both_are_named(tmp_path):
    path = write_field_file(tmp_path / "e4e.pt", "Encoder4Editing")
    other = load_generator(write_field_file(tmp_path / "twin.pt", "Encoder4Editing", small_decoder(seed=2)))
    with pytest.raises(LatentMismatchError, match=r"e4e\.pt.*but twin's weights are others.*--generator"):
        find_encoder(other, str(path))
    with pytest.raises(LatentMismatchError, match=r"encoder \(e4e\) of 8 codes of 8, but faces64 takes 10 of"):
        find_encoder(load_generator("faces64"), str(path))
    cropped = small_decoder()
    save_generator(tmp_path / "cropped.safetensors", cropped, Description(Alignment(0.8, 0.1)))
    with pytest.raises(LatentMismatchError, match=r"takes the FFHQ crop, but the faces of cropped .*0\.8"):
        find_encoder(load_generator(tmp_path / "cropped.safetensors"), str(path))


SEGMENTS = BackboneShape(19, SMALL.stem, SMALL.widths, SMALL.units)
WIDE = BackboneShape(3, 3, (4, 5, 5, 7), (1, 1, 1, 1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder_type": ""}, "alike have such weights, and the options"),
        ({"encoder_type": "ResNetBackboneEncoder"}, "its encoder is a ResNetBackboneEncoder; those on IR-SE50"),
        ({"encoder_type": "BackboneEncoder"}, "name a BackboneEncoder, but the weights are those of a Gradual"),
        ({"latent_avg": torch.zeros(8, 9)}, r"latent_avg has shape \[8, 9\]"),
        ({"latent_avg": torch.full((8,), torch.nan)}, "latent_avg has NaN"),
        ({"weights": small_weights("GradualStyleEncoder", SEGMENTS)}, "takes 19 channels"),
        ({"weights": small_weights("GradualStyleEncoder", WIDE)}, "expected 4 that grow"),
        (
            {"weights": {"input_layer.0.weight": torch.zeros(3), "latlayer1.weight": torch.zeros(1)}},
            "not those of an IR-SE backbone",
        ),
    ],
)
def test_files_that_cannot_be_right_are_refused_by_name(tmp_path, changes, message):
    path = write_field_file(tmp_path / "odd.pt", "GradualStyleEncoder", **{"weights": None, **changes})
    with pytest.raises(CheckpointError, match=message) as error:
        load_encoder_file(path, CPU)
    assert str(path) in str(error.value)


def test_damaged_weights_are_refused(tmp_path):
    weights = small_weights("Encoder4Editing")
    del weights["styles.3.convs.2.bias"]
    path = write_field_file(tmp_path / "odd.pt", "Encoder4Editing", weights=weights)
    with pytest.raises(CheckpointError, match=r"missing \(styles\.3\.convs\.2\.bias\)"):
        load_encoder_file(path, CPU)
    weights = small_weights("Encoder4Editing")
    weights["latlayer1.bias"][0] = torch.inf
    with pytest.raises(CheckpointError, match="NaN or infinite"):
        load_encoder_file(write_field_file(tmp_path / "odd.pt", "Encoder4Editing", weights=weights), CPU)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(CheckpointError, match=r"odd\.pt"):
        load_encoder_file(path, CPU)
    with pytest.raises(CheckpointError, match="rounds"):
        load_encoder_file(write_field_file(tmp_path / "r.pt", "BackboneEncoder", n_iters_per_batch=10**9), CPU)


class Hostile:
    def __reduce__(self):
        return (print, ("executed",))


def test_options_that_would_run_code_are_not_run(tmp_path, capsys):
    path = write_field_file(tmp_path / "evil.pt", "Encoder4Editing", sneaky=Hostile())
    with pytest.raises(UnsafePickleError, match="print"):
        load_encoder_file(path, CPU)
    assert "executed" not in capsys.readouterr().out


def run(*args):
    result = CliRunner().invoke(cli.main, [*map(str, args), "--device", "cpu"], catch_exceptions=False)
    return result


def test_the_command_inverts_with_one_file_in_no_steps_and_in_some(tmp_path):
    path = write_field_file(tmp_path / "e4e.pt", "Encoder4Editing")
    rgb = np.random.RandomState(0).randint(0, 255, (32, 32, 3), np.uint8)
    Image.fromarray(rgb).save(tmp_path / "face.png")
    common = (
        "invert",
        tmp_path / "face.png",
        "--no-align",
        "--generator",
        path,
        "--perceptual",
        "squeeze-uncalibrated",
    )
    result = run(*common, "--steps", 0, "--out", tmp_path / "none")
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "none/face/face0/report.json").read_text())
    assert (report["method"], report["start"], report["steps_taken"]) == ("hybrid", "encoder", 0)
    targets = torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.no_grad():
        expected = saved_codes(path, targets, "Encoder4Editing")
    with np.load(tmp_path / "none/face/face0/latent.npz") as latent:
        assert_close(torch.from_numpy(latent["w"]), expected, atol=1e-4, rtol=1e-4)
    result = run(*common, "--method", "hybrid", "--steps", 3, "--out", tmp_path / "some")
    assert result.exit_code == 0, result.output
    refined = json.loads((tmp_path / "some/face/face0/report.json").read_text())
    assert refined["scores"]["mse"] < report["scores"]["mse"]
    result = run(*common, "--generator", "faces64", "--encoder", path, "--out", tmp_path / "refused")
    assert result.exit_code == 1
    assert "faces64" in result.output and "e4e.pt" in result.output


def small_arcface(path):
    torch.manual_seed(0)
    network = ArcFace(SMALL, 16)
    torch.save(
        {k: v if v.ndim == 0 else torch.randn_like(v).abs() * 0.2 for k, v in network.state_dict().items()}, path
    )
    return path


def test_the_identity_network_reads_its_file_and_the_field_s_crop(tmp_path):
    network = load_arcface(small_arcface(tmp_path / "model_ir_se50.pth"), CPU)
    faces = torch.rand(2, 3, 256, 256) * 2 - 1
    assert_close(arcface_crop(faces, Alignment()), F.adaptive_avg_pool2d(faces[:, :, 35:223, 32:220], 112))
    found = network.describe(faces, Alignment())
    assert_close(found.norm(dim=1), torch.ones(2))
    assert_close(found, network(F.adaptive_avg_pool2d(faces[:, :, 35:223, 32:220], 112)))
    assert arcface_crop(torch.rand(1, 3, 64, 64), Alignment(0.8, 0.1)).shape == (1, 3, 112, 112)
    with pytest.raises(CheckpointError, match=r"no ArcFace IR-SE50 in it"):
        load_arcface(write_field_file(tmp_path / "e4e.pt", "Encoder4Editing"), CPU)


def test_the_identity_network_of_the_user_is_in_the_loss_and_the_report(tmp_path):
    arcface = small_arcface(tmp_path / "model_ir_se50.pth")
    path = write_field_file(tmp_path / "e4e.pt", "Encoder4Editing")
    rgb = np.random.RandomState(0).randint(0, 255, (32, 32, 3), np.uint8)
    Image.fromarray(rgb).save(tmp_path / "face.png")
    common = ["invert", tmp_path / "face.png", "--no-align", "--generator", path, "--steps", 3, "--lambda-identity", 5]
    common += ["--lambda-mse", 0, "--lambda-percept", 0, "--perceptual", "squeeze-uncalibrated"]
    result = run(*common, "--identity", arcface, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "out/face/face0/report.json").read_text())
    network, generator = load_arcface(arcface, CPU), load_generator(path)
    with torch.no_grad(), np.load(tmp_path / "out/face/face0/latent.npz") as latent:
        target = torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 127.5 - 1
        noise = {name.removeprefix("noise."): torch.from_numpy(latent[name]) for name in latent if "noise." in name}
        found = generator.synthesis(torch.from_numpy(latent["w"]), noise=noise)
        one, other = (network.describe(faces, Alignment()) for faces in (found, target))
    assert report["identity"] == "model_ir_se50.pth"
    assert report["scores"]["identity_similarity"] == pytest.approx(float((one * other).sum()), abs=1e-3)
    assert report["loss_terms"]["identity"] == pytest.approx(5 * float((one - other).square().sum()), abs=1e-3)
    latent, words = tmp_path / "out/face/face0/latent.npz", ["--truncate", "0.5", "--identity", arcface]
    assert run("edit", latent, *words, "--generator", path, "--out", tmp_path / "edited").exit_code == 0
    edited = json.loads((tmp_path / "edited/face/face0/report.json").read_text())
    after = np.asarray(Image.open(tmp_path / "edited/face/face0/photo_edited.png"))
    after = torch.from_numpy(after.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.no_grad():
        expected = float((network.describe(after, Alignment()) * other).sum())
    assert (after != target).any()
    assert edited["photo_scores"]["identity_similarity"] == pytest.approx(expected, abs=1e-3)
    result = run(*common, "--identity", tmp_path / "none.pth", "--out", tmp_path / "out")
    assert result.exit_code == 1 and "none.pth" in result.output
