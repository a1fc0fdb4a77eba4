"""Choose where the tensors live."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch

from stylegan_core.device_names import check_device
from stylegan_core.errors import ConfigError

SMALL = 128  # pixels: generators up to here run on one CPU thread in the commands
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # options of glibc's mallopt (malloc.h)


def pick_device(name: str = "auto") -> torch.device:
    """Turn `auto`, `cpu`, `cuda` (or `cuda:1`) or `mps` into a device that is there; raises `ConfigError`."""
    check_device(name)
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind = name.partition(":")[0]
    if kind == "cuda" and not torch.cuda.is_available():
        raise ConfigError("no CUDA device is available here; use --device cpu")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("no MPS device is available here; use --device cpu")
    return torch.device(name)


def num_gpus(name: str) -> int:
    """Return among how many GPUs the work for the device `name` can be divided: none for a CPU or a GPU by number."""
    return torch.cuda.device_count() if name in ("auto", "cuda") and torch.cuda.is_available() else 0


def reduced_precision(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """Let convolutions and matrix products run in `float16` or `bfloat16`; `float32` changes nothing."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype={"float16": torch.float16, "bfloat16": torch.bfloat16}[precision])


@contextmanager
def fitting_threads(img_resolution: int) -> Iterator[None]:
    """Do as `fit_threads` for a while: library calls compute as commands do, to the last bit, and leave no trace."""
    before = torch.get_num_threads()
    fit_threads(img_resolution)
    try:
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)


def fit_process(img_resolution: int) -> None:
    """Let the process of a command compute as fast as it can with a generator of `img_resolution` pixels."""
    fit_threads(img_resolution)
    keep_memory()


def fit_threads(img_resolution: int) -> None:
    """Let a command use one thread where a generator of `img_resolution` pixels is too small to share out.

    Two threads spend their time there waiting for each other (benchmarks/threads.py). OMP_NUM_THREADS overrules."""
    if img_resolution <= SMALL and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)


def keep_memory() -> None:
    """Let this process keep the memory that large tensors leave, for the next ones (glibc; elsewhere nothing happens).

    By default glibc gives blocks over 32 MB back and asks for them anew, and the kernel clears every page of them: of a
    StyleGAN3 training step on a CPU that is a quarter, of a search's step at 1024 px a fifth. For the process of a
    command: it lasts as long as that does."""
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    for option, value in ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 1 << 28)):
        set_option(option, value)
