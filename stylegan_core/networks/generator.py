"""What the generators of the family share: a mapping network, a synthesis network, and how the two make an image."""

from typing import Any

from torch import Tensor, nn

from stylegan_core.networks.mapping import MappingNetwork
from stylegan_core.networks.protocol import CheckpointMeta, FeatureLayer


class StyleGenerator(nn.Module):
    """z -> ws -> image around a synthesis network, satisfying `networks.protocol.Generator`."""

    meta: CheckpointMeta

    def __init__(self, config: Any, synthesis: nn.Module, joint_normalization: bool = False) -> None:
        super().__init__()
        self.config = config
        self.z_dim, self.c_dim, self.w_dim, self.num_ws = config.z_dim, config.c_dim, config.w_dim, config.num_ws
        self.img_resolution, self.img_channels = config.img_resolution, config.img_channels
        self.synthesis: Any = synthesis
        self.mapping = MappingNetwork(
            config.z_dim,
            config.c_dim,
            config.w_dim,
            config.num_ws,
            num_layers=config.mapping_layers,
            lr_multiplier=config.mapping_lr_multiplier,
            layer_features=config.layer_features,
            embed_features=config.embed_features,
            w_avg_beta=config.w_avg_beta,
            joint_normalization=joint_normalization,
        )

    @property
    def w_avg(self) -> Tensor:
        """The mean of W, [w_dim]."""
        return self.mapping.w_avg

    @property
    def noise(self) -> dict[str, Tensor]:
        """The constant noise inputs [H, W] by layer name (`b8.conv0`); empty for a generator without."""
        return {name: layer.noise_const for name, layer in self.synthesis.noise_layers().items()}

    @property
    def feature_layers(self) -> dict[str, FeatureLayer]:
        """The layers that synthesis takes hooks for, by name, coarse to fine."""
        layers: dict[str, FeatureLayer] = self.synthesis.feature_layers()
        return layers

    def forward(
        self,
        z: Tensor,
        c: Tensor | None = None,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
        noise_mode: str = "const",
    ) -> Tensor:
        """Return images [N, img_channels, R, R] for z [N, z_dim]."""
        image: Tensor = self.synthesis(self.mapping(z, c, truncation_psi, truncation_cutoff), noise_mode)
        return image
