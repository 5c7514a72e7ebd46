"""The settings files for `accelerate launch` are ones that it reads, and ask for what their names say."""

from __future__ import annotations

import pytest
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import DistributedType
from accelerate.utils.launch import prepare_multi_gpu_env

from tests.conftest import ROOT
from training_methods.transfer_learning.launch import current_launch

FOLDER = ROOT / "configs" / "accelerate"
KINDS = {
    "ddp.yaml": DistributedType.MULTI_GPU,
    "deepspeed_zero2.yaml": DistributedType.DEEPSPEED,
    "deepspeed_zero3.yaml": DistributedType.DEEPSPEED,
    "fsdp_full.yaml": DistributedType.FSDP,
    "fsdp_qlora.yaml": DistributedType.FSDP,
    "multi_node.yaml": DistributedType.MULTI_GPU,
    "two_cpu_processes.yaml": DistributedType.MULTI_GPU,
}


def arguments(name):
    # Unknown keys at the top are refused by the loader; those of a section must be arguments of the launcher.
    return launch_command_parser().parse_args(["--config_file", str(FOLDER / name), "main.py"])


def test_every_file_is_tested():
    assert {path.name for path in FOLDER.iterdir()} == KINDS.keys()


@pytest.mark.parametrize("name", KINDS)
def test_accelerate_reads_the_file_and_knows_every_key(name):
    config = load_config_from_file(str(FOLDER / name))
    assert config.distributed_type == KINDS[name]
    known = vars(arguments(name)).keys()
    assert set(config.fsdp_config) <= known
    assert set(config.deepspeed_config) <= known
    assert _validate_launch_command(arguments(name))[0].num_processes == (2 if "two" in name else config.num_processes)


@pytest.mark.parametrize("name", ["fsdp_full.yaml", "fsdp_qlora.yaml"])
def test_what_the_launcher_tells_its_processes_is_what_we_read(name, monkeypatch):
    args = _validate_launch_command(arguments(name))[0]
    for key, value in prepare_multi_gpu_env(args).items():
        monkeypatch.setenv(key, value)
    assert current_launch().divides_weights
