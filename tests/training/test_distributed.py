import dataclasses
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from stylegan_core.training.loop import train
from stylegan_core.training.state import STATE_FILE

ROOT = Path(__file__).parents[2]
WORKER = """
import json, sys, torch
torch.set_num_threads(1)
from stylegan_core.networks import configs
from stylegan_core.training.config import TrainConfig
from stylegan_core.training.loop import train
values = json.loads(sys.argv[1])
configs.PRESETS["tiny"] = configs.StyleGAN2Config(**values.pop("tiny"))
train(TrainConfig(**values))
"""


def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


@pytest.mark.slow
def test_two_processes_with_half_batches_train_the_weights_of_one_with_the_whole(tiny, tmp_path):
    from stylegan_core.networks.configs import PRESETS

    one = dataclasses.replace(tiny, kimg=0.032, snapshot_kimg=0.016)
    two = dataclasses.replace(one, out=str(tmp_path / "two"))
    train(one)
    values = dataclasses.asdict(two) | {"tiny": dataclasses.asdict(PRESETS["tiny"])}
    port = str(free_port())
    workers = []
    for rank in range(2):
        torchrun = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", WORKER, json.dumps(values)]
        workers.append(subprocess.Popen(command, env=os.environ | torchrun | place, stderr=subprocess.PIPE, text=True))
    errors = [worker.communicate(timeout=300)[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], errors
    first, second = (load_file(f"{config.out}/{STATE_FILE}") for config in (one, two))
    assert first.keys() == second.keys()
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=1e-3, atol=2e-4, msg=lambda m, n=name: f"{n}: {m}")
