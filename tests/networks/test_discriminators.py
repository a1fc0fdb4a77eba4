"""The discriminators against loops, their penalties' second derivatives, labels and growth."""

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.testing import assert_close

from stylegan_core.errors import ImageError
from stylegan_core.networks.configs import StyleGAN1DiscriminatorConfig, StyleGAN2DiscriminatorConfig
from stylegan_core.networks.discriminators import StyleGAN2Discriminator, append_minibatch_std
from stylegan_core.networks.progressive import StyleGAN1Discriminator, conv2d_mean_down

SMALL = StyleGAN2DiscriminatorConfig(img_resolution=16, channel_base=64, channel_max=8)
GROWING = StyleGAN1DiscriminatorConfig(img_resolution=16, channel_base=64, channel_max=8)


def with_biases(network: torch.nn.Module) -> torch.nn.Module:
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter)
    return network


def conv(layer: torch.nn.Module, x: Tensor, gain: float = 1.0, activate: bool = True) -> Tensor:
    """An equalised convolution with bias and activation, from its definition."""
    weight = layer.weight / math.sqrt(layer.weight[0].numel())
    y = F.conv2d(x, weight, padding=weight.shape[-1] // 2)
    y = y if layer.bias is None else y + layer.bias[:, None, None]
    return F.leaky_relu(y, 0.2) * math.sqrt(2) * gain if activate else y * gain


def dense(layer: torch.nn.Module, x: Tensor) -> Tensor:
    return x @ layer.weight.T / math.sqrt(x.shape[1]) + layer.bias


def blur(x: Tensor, before: int, after: int) -> Tensor:
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=x.dtype) / 8
    kernel = torch.outer(taps, taps).expand(x.shape[1], 1, 4, 4)
    return F.conv2d(F.pad(x, [before, after, before, after]), kernel, groups=x.shape[1])


def tail(network: torch.nn.Module, x: Tensor) -> Tensor:
    """Minibatch standard deviation (one group), convolution, two dense layers."""
    std = (x - x.mean(dim=0)).square().mean(dim=0).add(1e-8).sqrt().mean()
    x = torch.cat([x, std.expand(len(x), 1, 4, 4)], dim=1)
    x = conv(network.b4.conv, x).flatten(1)
    return dense(network.b4.out, F.leaky_relu(dense(network.b4.fc, x), 0.2) * math.sqrt(2))


@pytest.mark.parametrize("architecture", ["orig", "skip", "resnet"])
def test_stylegan2_discriminator_equals_its_definition(architecture: str) -> None:
    network = StyleGAN2Discriminator(dataclasses.replace(SMALL, architecture=architecture)).double()
    with_biases(network)
    img = torch.randn(4, 3, 16, 16, dtype=torch.float64)
    x, left = conv(network.b16.fromrgb, img), img
    for resolution in (16, 8):
        block = getattr(network, f"b{resolution}")
        if architecture == "skip" and resolution == 8:
            x = x + conv(block.fromrgb, left)
        inner = conv(block.conv0, x)
        weight = block.conv1.weight / math.sqrt(block.conv1.weight[0].numel())
        down = F.conv2d(blur(inner, 2, 2), weight, stride=2) + block.conv1.bias[:, None, None]
        down = F.leaky_relu(down, 0.2) * math.sqrt(2)
        if architecture == "resnet":
            skip = conv(block.skip, blur(x, 1, 1)[:, :, ::2, ::2], activate=False)
            down = (down + skip) * math.sqrt(0.5)
        x, left = down, blur(left, 1, 1)[:, :, ::2, ::2]
    if architecture == "skip":
        x = x + conv(network.b4.fromrgb, left)
    assert_close(network(img), tail(network, x))


def test_minibatch_std_groups_samples_at_equal_distances() -> None:
    x = torch.randn(6, 4, 2, 2)
    y = append_minibatch_std(x, group_size=3, num_channels=2)
    assert torch.equal(y[:, :4], x)
    for i in range(6):
        members = [j for j in range(6) if j % 2 == i % 2]  # six samples, three a group: i, i + 2, i + 4
        for half in range(2):
            values = torch.stack([x[j, 2 * half : 2 * half + 2] for j in members])
            std = (values - values.mean(dim=0)).square().mean(dim=0).add(1e-8).sqrt().mean()
            assert_close(y[i, 4 + half], std.expand(2, 2))


def test_minibatch_std_takes_any_batch_size() -> None:
    for num in (1, 2, 3, 5, 7):
        assert append_minibatch_std(torch.randn(num, 4, 2, 2), 4, 1).shape == (num, 5, 2, 2)


def test_labels_are_projected_onto_their_embedding() -> None:
    network = with_biases(StyleGAN2Discriminator(dataclasses.replace(SMALL, c_dim=3, mapping_layers=2))).double()
    img, c = torch.randn(2, 3, 16, 16).double(), torch.eye(3)[:2].double()
    features = StyleGAN2Discriminator.forward(_without_labels(network), img)
    embedded = network.mapping(None, c)
    assert_close(network(img, c), (features * embedded).sum(dim=1, keepdim=True) / math.sqrt(8))
    with pytest.raises(ImageError, match="labels are missing"):
        network(img)


def _without_labels(network: StyleGAN2Discriminator) -> StyleGAN2Discriminator:
    """The same network up to its features: no label is asked for."""
    import copy

    bare = copy.deepcopy(network)
    bare.c_dim = 0
    return bare


def test_direct_labels_choose_the_logit_of_their_class() -> None:
    network = StyleGAN2Discriminator(dataclasses.replace(SMALL, c_dim=3, label_projection="direct"))
    img = torch.randn(3, 3, 16, 16)
    logits = _without_labels(network)(img)
    assert logits.shape == (3, 3)
    assert_close(network(img, torch.eye(3)), logits.diagonal()[:, None])


@pytest.mark.parametrize("kind", ["stylegan2", "stylegan1"])
def test_r1_differentiates_twice(kind: str) -> None:
    if kind == "stylegan2":
        network: torch.nn.Module = StyleGAN2Discriminator(dataclasses.replace(SMALL, img_resolution=8, channel_max=3))
    else:
        network = StyleGAN1Discriminator(dataclasses.replace(GROWING, img_resolution=8, channel_max=3))
    network = with_biases(network).double()
    img = torch.randn(2, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(network, img)
    assert torch.autograd.gradgradcheck(network, img, fast_mode=True)
    (gradient,) = torch.autograd.grad(network(img).sum(), img, create_graph=True)
    gradient.square().sum().backward()
    assert network.b8.conv0.weight.grad is not None


def test_convolve_then_average_in_one_step() -> None:
    x, weight = torch.randn(2, 3, 8, 8), torch.randn(5, 3, 3, 3)
    assert_close(conv2d_mean_down(x, weight), F.avg_pool2d(F.conv2d(x, weight, padding=1), 2))


def test_growing_discriminator_equals_its_definition_while_fading() -> None:
    network = with_biases(StyleGAN1Discriminator(GROWING)).double()
    img = torch.randn(4, 3, 16, 16, dtype=torch.float64)
    taps = torch.tensor([1.0, 2.0, 1.0], dtype=torch.float64) / 4
    kernel = torch.outer(taps, taps).expand(8, 1, 3, 3)

    def block(resolution: int, x: Tensor) -> Tensor:
        layers = getattr(network, f"b{resolution}")
        x = F.conv2d(conv(layers.conv0, x), kernel[: layers.conv0.weight.shape[0]], padding=1, groups=x.shape[1])
        weight = layers.conv1.weight / math.sqrt(layers.conv1.weight[0].numel())
        y = F.avg_pool2d(F.conv2d(x, weight, padding=1), 2) + layers.conv1.bias[:, None, None]
        return F.leaky_relu(y, 0.2) * math.sqrt(2)

    half = F.avg_pool2d(img, 2)
    new, old = block(16, conv(network.b16.fromrgb, img)), conv(network.b8.fromrgb, half)
    assert_close(network(img, lod=0.3), tail(network, block(8, 0.7 * new + 0.3 * old)))
    assert_close(network(img, lod=0.0), tail(network, block(8, new)))
    assert_close(network(img, lod=1.0), tail(network, block(8, old)))
    assert_close(network(half, lod=1.0), network(img, lod=1.0))


def test_growing_is_continuous_where_a_level_ends() -> None:
    network = StyleGAN1Discriminator(GROWING)
    img = torch.randn(4, 3, 16, 16)
    for lod in (1.0, 2.0):
        assert_close(network(img, lod=lod - 1e-4), network(img, lod=lod), atol=1e-3, rtol=1e-3)


def test_images_of_another_size_are_refused() -> None:
    with pytest.raises(ImageError, match=r"\[1, 3, 8, 8\].*16"):
        StyleGAN2Discriminator(SMALL)(torch.randn(1, 3, 8, 8))
    with pytest.raises(ImageError, match=r"\[1, 1, 16, 16\]"):
        StyleGAN1Discriminator(GROWING)(torch.randn(1, 1, 16, 16))
