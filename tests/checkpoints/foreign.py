"""Makers of files in foreign formats, from variables and records, under the names that NVIDIA's pickles use."""

import pickle
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np


class Network:
    """Pickles as dnnlib.tflib.network.Network does: by its state."""

    def __init__(self, name: str, variables: dict[str, np.ndarray], components: dict[str, Any], **kwargs: Any) -> None:
        self.state = {
            "version": 4,
            "name": name,
            "static_kwargs": EasyDict(kwargs),
            "components": EasyDict(components),
            "build_module_src": "raise SystemExit('executed')",
            "build_func_name": "G_main",
            "variables": list(variables.items()),
        }

    def __getstate__(self) -> dict[str, Any]:
        return self.state


class EasyDict(dict):
    """A dictionary under NVIDIA's class name."""


class Persistent:
    """Pickles as an object of torch_utils.persistence does."""

    def __init__(self, class_name: str, state: dict[str, Any]) -> None:
        self.meta = {"type": "class", "version": 6, "module_src": "raise SystemExit", "class_name": class_name}
        self.meta["state"] = state

    def __reduce__(self) -> tuple:
        return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (self.meta,)


def _reconstruct_persistent_obj(meta: dict[str, Any]) -> None:
    raise AssertionError("executed")


@contextmanager
def nvidia_modules() -> Iterator[None]:
    """Let the classes above be pickled under the names of NVIDIA's modules."""
    homes = {
        "dnnlib.tflib.network": [Network],
        "dnnlib.util": [EasyDict],
        "torch_utils.persistence": [_reconstruct_persistent_obj],
    }
    added = []
    for name, members in homes.items():
        for part in (name.rpartition(".")[0].partition(".")[0], name.rpartition(".")[0], name):
            if part not in sys.modules:
                sys.modules[part] = types.ModuleType(part)
                added.append(part)
        for member in members:
            setattr(sys.modules[name], member.__name__, member)
            member.__module__ = name
            member.__qualname__ = member.__name__
    try:
        yield
    finally:
        for name in added:
            del sys.modules[name]


def tensorflow_pickle(*networks: Network) -> bytes:
    """Return the bytes of a TensorFlow pickle of these networks."""
    with nvidia_modules():
        return pickle.dumps(networks if len(networks) > 1 else networks[0], protocol=4)
