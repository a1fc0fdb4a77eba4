import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from sklearn.decomposition import PCA
from torch.testing import assert_close

from editing.conditional import without
from editing.config import BoundaryConfig, ImportConfig
from editing.discover.boundary import fit_boundary, fit_margins
from editing.discover.foreign import as_step, import_direction, read_foreign
from editing.discover.ganspace import principal_components
from editing.discover.sefa import modulation_weights, sefa_directions
from stylegan_core.console import Console
from stylegan_core.directions import load_direction
from stylegan_core.errors import ConfigError, DatasetError, LatentError, LatentMismatchError
from stylegan_core.networks.configs import StyleGAN1Config, StyleGAN2Config, StyleGAN3Config
from stylegan_core.networks.stylegan1 import StyleGAN1Generator
from stylegan_core.networks.stylegan2 import StyleGAN2Generator
from stylegan_core.networks.stylegan3 import StyleGAN3Generator

STREAM = torch.Generator().manual_seed(3)


def normal(*shape):
    return torch.randn(*shape, generator=STREAM)


def cosine(one, other):
    return float(torch.nn.functional.cosine_similarity(one.flatten(), other.flatten(), dim=0))


@pytest.mark.parametrize("classifier", ["svm", "logistic"])
@pytest.mark.parametrize("kind", ["labels", "extremes", "regression"])
def test_a_boundary_recovers_the_planted_direction_and_says_so_of_held_out_codes(classifier, kind):
    planted = normal(16)
    w = normal(1200, 16)
    margin = w @ planted / planted.norm() + 0.2 * normal(1200)
    scores = {"labels": (margin > 0.5).float(), "extremes": margin.sigmoid(), "regression": 40 + 10 * margin}[kind]
    found = fit_boundary(w, scores, BoundaryConfig(classifier=classifier, extremes=0.3))
    assert cosine(found.step, planted) > 0.95
    assert found.step.shape == (1, 1, 16)
    assert found.report["held_out"] + found.report["trained_on"] <= 1200
    figure = found.report.get("held_out_accuracy", found.report.get("held_out_correlation"))
    assert 0.85 < figure <= 1


def test_a_boundary_of_noise_has_no_held_out_accuracy():
    w, scores = normal(1500, 16), (normal(1500) > 0).float()
    assert 0.4 < fit_boundary(w, scores, BoundaryConfig()).report["held_out_accuracy"] < 0.6


def test_a_boundary_is_found_where_the_dimensions_of_w_differ_in_scale():
    deviation = torch.linspace(0.1, 2, 16)
    w = normal(2000, 16) * deviation
    planted = torch.linspace(1, 3, 16)
    step = fit_boundary(w, 100 + w @ planted, BoundaryConfig()).step[0, 0]
    assert cosine(step, planted) > 0.99


def test_a_margin_step_gains_on_every_rival_and_is_the_shortest_that_does():
    logits = normal(4, 16)
    w = normal(3000, 16)
    log_p = (w @ logits.T).log_softmax(dim=1)
    found = fit_margins(w, log_p, 1, BoundaryConfig())
    gains = (logits[1] - logits[[0, 2, 3]]) @ found.step[0, 0]
    assert bool((gains > 0).all())
    reference = minimize(
        lambda v: 0.5 * v @ v,
        np.ones(16),
        jac=lambda v: v,
        method="SLSQP",
        constraints={"type": "ineq", "fun": lambda v: (logits[1] - logits[[0, 2, 3]]).double().numpy() @ v - 1},
    )
    assert cosine(found.step.double(), torch.from_numpy(reference.x)) > 0.99
    assert found.report["held_out_correlation"] > 0.95


def test_too_few_or_equal_labels_are_refused():
    with pytest.raises(DatasetError, match="same score"):
        fit_boundary(normal(10, 4), torch.ones(10), BoundaryConfig())
    with pytest.raises(DatasetError, match="1 codes with"):
        fit_boundary(normal(10, 4), torch.eye(10)[0], BoundaryConfig())


def test_components_of_w_are_those_of_scikit_learn():
    w = normal(500, 12) * torch.linspace(3, 0.5, 12)
    components, deviations = principal_components(w, 5)
    reference = PCA(5, svd_solver="full").fit(w.double().numpy())
    for mine, theirs in zip(components, torch.from_numpy(reference.components_).float(), strict=True):
        assert abs(cosine(mine, theirs)) == pytest.approx(1, abs=1e-5)
        assert mine[mine.abs().argmax()] > 0
    assert_close(deviations.double(), torch.from_numpy(reference.explained_variance_).sqrt(), rtol=1e-5, atol=1e-6)


@pytest.fixture(scope="module")
def stylegan2():
    torch.manual_seed(0)
    return StyleGAN2Generator(StyleGAN2Config(z_dim=8, w_dim=8, img_resolution=16, channel_base=256, mapping_layers=2))


def test_modulation_weights_are_found_by_the_layer_that_feeds_them(stylegan2):
    found = modulation_weights(stylegan2)
    blocks = stylegan2.synthesis
    expected = {
        0: [blocks.b4.conv1],
        1: [blocks.b4.torgb, blocks.b8.conv0],
        2: [blocks.b8.conv1],
        3: [blocks.b8.torgb, blocks.b16.conv0],
        4: [blocks.b16.conv1],
        5: [blocks.b16.torgb],
    }
    assert sorted(found) == sorted(expected)
    for layer, modules in expected.items():
        assert {weight.data_ptr() for weight in found[layer]} == {m.affine.weight.data_ptr() for m in modules}


@pytest.mark.parametrize("version", [1, 3])
def test_every_style_layer_of_stylegan_1_and_3_is_found(version):
    if version == 1:
        generator = StyleGAN1Generator(StyleGAN1Config(z_dim=8, w_dim=8, img_resolution=16, mapping_layers=2))
    else:
        generator = StyleGAN3Generator(
            StyleGAN3Config(z_dim=8, w_dim=8, img_resolution=16, channel_base=256, channel_max=16, mapping_layers=2)
        )
    found = modulation_weights(generator)
    assert sorted(found) == list(range(generator.num_ws))
    assert all(weight.shape[1] == 8 for weights in found.values() for weight in weights)


def test_sefa_maximises_the_change_of_styles_in_the_chosen_layers(stylegan2):
    weights = modulation_weights(stylegan2)
    vectors, gains = sefa_directions(weights, [2, 3], 8)
    matrix = torch.cat([*weights[2], *weights[3]]).double()
    assert_close((vectors.double() @ matrix.T).norm(dim=1), gains.double(), rtol=1e-4, atol=1e-4)
    assert_close(vectors @ vectors.T, torch.eye(8), rtol=0, atol=1e-5)
    assert_close(gains.double(), torch.linalg.svdvals(matrix), rtol=1e-4, atol=1e-4)
    trials = torch.nn.functional.normalize(normal(200, 8).double(), dim=1)
    assert float((trials @ matrix.T).norm(dim=1).max()) <= float(gains[0]) + 1e-4
    with pytest.raises(ConfigError, match="modulation"):
        sefa_directions(weights, [], 1)


def test_sefa_refuses_a_generator_without_modulation(linear_generator):
    with pytest.raises(ConfigError, match="no modulation layers"):
        modulation_weights(linear_generator)


def test_what_is_kept_is_at_right_angles_and_the_rest_is_untouched():
    step, others = normal(1, 1, 12), [normal(1, 1, 12), normal(1, 1, 12)]
    left = without(step, others)
    for other in others:
        assert abs(cosine(left, other)) < 1e-5
    span = torch.cat(others)[:, 0]
    share, *_ = np.linalg.lstsq(span.T.double().numpy(), step[0, 0].double().numpy(), rcond=None)
    assert_close(left[0, 0], step[0, 0] - torch.from_numpy(share).float() @ span, rtol=1e-4, atol=1e-5)
    assert torch.equal(without(step, []), step)
    with pytest.raises(ConfigError, match="nothing of smile is left"):
        without(step, [3 * step], "smile")


def test_a_direction_in_w_keeps_one_in_w_plus():
    left = without(normal(1, 1, 12), [normal(1, 4, 12)])
    assert left.shape == (1, 4, 12)


VECTOR = np.random.RandomState(1).randn(12).astype(np.float32)
COMPONENTS, SPREAD = np.random.RandomState(2).randn(5, 1, 12).astype(np.float32), np.arange(1, 6, dtype=np.float32)


def write_foreign(kind, folder):
    path = folder / {"interfacegan": "b.npy", "puzer": "p.npy", "ganspace": "g.npz"}.get(kind, "t.pt")
    if kind == "interfacegan":
        np.save(path, VECTOR[None])
    elif kind == "puzer":
        np.save(path, np.stack([VECTOR] * 4))
    elif kind == "ganspace":
        np.savez(path, lat_comp=COMPONENTS, lat_stdev=SPREAD, lat_mean=VECTOR, act_comp=VECTOR)
    elif kind in ("e4e", "legacy"):
        torch.save(torch.from_numpy(VECTOR[None]), path, _use_new_zipfile_serialization=kind == "e4e")
    elif kind == "ffhq_pca":
        pca = {"comp": COMPONENTS, "std": SPREAD, "mean": VECTOR}
        torch.save({key: torch.from_numpy(value) for key, value in pca.items()}, path)
    else:
        torch.save({"ckpt": "x.pt", "eigvec": torch.from_numpy(COMPONENTS[:, 0].T.copy())}, path)
    return path


@pytest.mark.parametrize("kind", ["interfacegan", "puzer", "ganspace", "e4e", "legacy", "ffhq_pca", "factor"])
def test_directions_of_other_tools_are_imported(kind, tmp_path, linear_generator, monkeypatch):
    monkeypatch.setattr("editing.discover.foreign.load_generator", lambda name: linear_generator)
    path = write_foreign(kind, tmp_path)
    config = ImportConfig(component=3, scale=2.0, layers="1-2", judge="age")
    import_direction(str(path), "theirs", str(tmp_path / "ours.npz"), "linear", config, Console(quiet=True))
    direction = load_direction(tmp_path / "ours.npz")
    scaled = {"ganspace": COMPONENTS[3, 0] * 4, "ffhq_pca": COMPONENTS[3, 0] * 4, "factor": COMPONENTS[3, 0]}
    expected = torch.from_numpy(2 * scaled.get(kind, VECTOR))
    assert direction.vector.shape == (1, 4 if kind == "puzer" else 1, 12)
    assert_close(direction.vector, expected.expand_as(direction.vector))
    assert (direction.layers, direction.attribute, direction.generator) == ((1, 2), "age", "f" * 64)


def test_foreign_files_that_do_not_fit_or_hide_code_are_refused(tmp_path, linear_generator, monkeypatch):
    monkeypatch.setattr("editing.discover.foreign.load_generator", lambda name: linear_generator)
    out = str(tmp_path / "o.npz")
    np.save(tmp_path / "wide.npy", np.ones((1, 512), np.float32))
    with pytest.raises(LatentMismatchError, match="512"):
        import_direction(str(tmp_path / "wide.npy"), "x", out, "linear", ImportConfig(), Console())
    np.save(tmp_path / "pickle.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pt")
    (tmp_path / "short.npy").write_bytes(b"\x93NUMPY")
    (tmp_path / "text.pt").write_text("no torch file")
    torch.save({"comp": torch.ones(3, 12), "std": torch.ones(3)}, tmp_path / "few.pt")
    for name, match in {
        "pickle.npy": "hides a pickle", "module.pt": "nothing of it was executed", "short.npy": "damaged",
        "text.pt": r"text\.pt", "few.pt": "0 to 2", "x.bin": "known", "none.npy": "no such file",
    }.items():  # fmt: skip
        with pytest.raises(LatentError, match=match):
            read_foreign(tmp_path / name, 7)
    for bad in (np.zeros(12), np.full(12, np.nan), np.ones((2, 2, 2, 2)), np.ones(3, int)):
        with pytest.raises(LatentError, match="no direction"):
            as_step(bad, "x")
