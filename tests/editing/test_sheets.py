import dataclasses

import pytest

from editing.sheets import mix_files
from stylegan_core.checkpoints import save_generator
from stylegan_core.console import Console
from stylegan_core.errors import ConfigError
from stylegan_core.networks import configs
from stylegan_core.networks.build import build_network


def test_mixing_all_styles_there_are_is_refused(tmp_path):
    """Config A has one style: any layers of it are the whole code."""
    config = dataclasses.replace(
        configs.PRESETS["stylegan1-a"], z_dim=8, w_dim=8, img_resolution=8, channel_base=64, channel_max=8
    )
    save_generator(tmp_path / "a.safetensors", build_network(config).eval())
    with pytest.raises(ConfigError, match="all 1 of this generator's"):
        mix_files(["1"], ["2"], "coarse", str(tmp_path), str(tmp_path / "a.safetensors"), "cpu", Console())
    assert not (tmp_path / "mix.png").exists()
