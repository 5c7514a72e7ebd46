"""Several processes on one run: the losses of one process, one voice, and an end that all of them share."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from tests.conftest import ROOT
from training_methods.transfer_learning.dataset import RandomOrderSampler
from training_methods.transfer_learning.step_shares import StepShares, divide

TWO = ROOT / "configs" / "accelerate" / "two_cpu_processes.yaml"
# As a user would: 33 records in steps of 8 leave one for the last step, so that one process has none.
SETTINGS = [
    "--device", "cpu", "--epochs", "1", "--batch-size", "2", "--max-length", "64", "--learning-rate", "0.01",
    "--eval-split", "0.2", "--set", "evaluation.generate_samples=false", "--json",
]  # fmt: skip
ACCELERATE = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(TWO), "main.py"]
STANDALONE = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]


def command(method, records, model, run_dir, *more, processes=2):
    steps = ["--gradient-accumulation-steps", str(4 // processes)]
    logged = ["--set", f"transfer_learning.{method}.training.logging_steps=1"]
    if method != "full":
        logged += ["--lora-dropout", "0"]
    if method == "qlora":
        logged += ["--set", "transfer_learning.qlora.quantization.bnb_4bit_compute_dtype=float32"]
    paths = ["--train-data", str(records), "--model", str(model), "--output-dir", str(run_dir)]
    return [f"train-{method}", *paths, *SETTINGS, *steps, *logged, *more]


def environment():
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default"}


def launched(launcher, words, **options):
    return subprocess.run(
        [*launcher, *words], cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=300, **options
    )


def logged_losses(run_dir, key):
    lines = [json.loads(line) for line in (Path(run_dir) / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line[key] for line in lines if key in line}


def assert_same_run(one, two, weights="adapter_model.safetensors"):
    for key in ("loss", "eval_loss", "tokens", "learning_rate"):
        assert logged_losses(two, key) == pytest.approx(logged_losses(one, key), abs=1e-5)
    assert len(logged_losses(two, "loss")) == 5
    first, second = load_file(one / weights), load_file(two / weights)
    assert first.keys() == second.keys()
    # AdamW divides by the size of a gradient, which makes the last bits of small ones larger.
    assert max(float((first[name] - second[name]).abs().max()) for name in first) < 5e-5


@pytest.fixture
def uneven_records(tmp_path):
    """41 records of different lengths, 8 of which are held out."""
    path = tmp_path / "records.jsonl"
    rows = [
        {"instruction": f"What is in box {number}?", "output": f"{number} pears. " + "Look again. " * (number % 5)}
        for number in range(41)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_two_processes_have_the_losses_of_one_and_speak_with_one_voice(
    uneven_records, tiny_model, tmp_path, run_command
):
    one = run_command(*command("lora", uneven_records, tiny_model, tmp_path / "one", processes=1))
    assert one.code == 0, one.err
    two = launched(ACCELERATE, command("lora", uneven_records, tiny_model, tmp_path / "two"))
    assert two.returncode == 0, two.stderr
    assert_same_run(tmp_path / "one", tmp_path / "two")
    alone, together = json.loads(one.out), json.loads(two.stdout)  # one object, of the main process
    for key in ("records", "tokens", "steps", "train_loss", "eval_loss", "base_eval_loss"):
        assert together[key] == pytest.approx(alone[key], abs=1e-5)
    assert two.stderr.count("records to train on") == 1
    newest = tmp_path / "two" / "checkpoint-5"
    sealed = json.loads((newest / "manifest.json").read_text())["files"]
    assert {"rng_state_0.pth", "rng_state_1.pth"} <= sealed.keys()
    assert not list((tmp_path / "two").glob(".run.lock"))
    assert json.loads((tmp_path / "two" / "run.json").read_text())["status"] == "done"


@pytest.mark.slow
def test_a_signal_stops_both_processes_after_the_same_step_and_resume_goes_on(
    uneven_records, tiny_model, tmp_path, run_command
):
    assert run_command(*command("lora", uneven_records, tiny_model, tmp_path / "one", processes=1)).code == 0
    words = command("lora", uneven_records, tiny_model, tmp_path / "two")
    running = subprocess.Popen([*ACCELERATE, *words], cwd=ROOT, env=environment(), stderr=subprocess.PIPE, text=True)
    metrics = tmp_path / "two" / "metrics.jsonl"
    while running.poll() is None and not (metrics.exists() and metrics.read_text()):
        time.sleep(0.05)
    running.send_signal(signal.SIGTERM)
    told = running.communicate(timeout=120)[1]
    assert running.returncode != 0
    assert "stopped; what was done is saved" in told
    assert told.count("hint: go on with: accelerate launch --num_processes 2 main.py train-lora") == 1
    stopped_at = max(logged_losses(tmp_path / "two", "loss"))
    assert stopped_at < 5
    assert (tmp_path / "two" / f"checkpoint-{stopped_at}" / "manifest.json").is_file()
    again = launched(ACCELERATE, [*words, "--resume"])
    assert again.returncode == 0, again.stderr
    assert_same_run(tmp_path / "one", tmp_path / "two")


@pytest.mark.slow
def test_a_failure_in_both_processes_is_told_once(uneven_records, tiny_model, tmp_path):
    uneven_records.write_text('{"instruction": 1}\n')
    failed = launched(ACCELERATE, command("lora", uneven_records, tiny_model, tmp_path / "two"))
    assert failed.returncode != 0
    assert failed.stderr.count("records.jsonl, line 1: no known kind of record") == 1


# accelerate 1.15 divides weights on GPUs only; told that processors are GPUs, it does it over gloo as well.
AS_IF_GPUS = """
import sys
from accelerate import PartialState
from accelerate.utils import DistributedType
plain = PartialState.__init__
def init(self, *args, **options):
    plain(self, *args, **options)
    if self.distributed_type == DistributedType.MULTI_CPU:
        self.distributed_type = DistributedType.MULTI_GPU
PartialState.__init__ = init
sys.path.insert(0, {root!r})
from main import main
from shared_utils.processes import end_process
end_process(main())
"""


@pytest.mark.slow
@pytest.mark.parametrize("method", ["full", "lora", "qlora"])
def test_divided_weights_have_the_losses_of_whole_ones(method, uneven_records, tiny_model, tmp_path, run_command):
    assert run_command(*command(method, uneven_records, tiny_model, tmp_path / "one", processes=1)).code == 0
    script = tmp_path / "as_if_gpus.py"
    script.write_text(AS_IF_GPUS.format(root=str(ROOT)))
    fsdp = {
        "ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
        "FSDP_STATE_DICT_TYPE": "FULL_STATE_DICT", "FSDP_RESHARD_AFTER_FORWARD": "true",
        "FSDP_CPU_RAM_EFFICIENT_LOADING": "false",
    }  # fmt: skip
    words = command(method, uneven_records, tiny_model, tmp_path / "two")
    env = {**environment(), **fsdp}
    two = subprocess.run(
        [*STANDALONE, str(script), *words], cwd=ROOT, env=env, capture_output=True, text=True, timeout=300
    )
    assert two.returncode == 0, two.stderr
    weights = "model.safetensors" if method == "full" else "adapter_model.safetensors"
    assert_same_run(tmp_path / "one", tmp_path / "two", weights)
    assert (tmp_path / "two" / "checkpoint-5" / "optimizer.bin").is_file()  # what FSDP writes


@given(st.lists(st.integers(1, 500), max_size=40), st.integers(1, 9))
def test_every_record_of_a_step_has_one_process(lengths, processes):
    shares = divide(lengths, processes)
    assert len(shares) == processes
    assert sorted(place for share in shares for place in share) == list(range(len(lengths)))
    tokens = [sum(lengths[place] for place in share) for share in shares]
    assert max(tokens) - min(tokens) <= max(lengths, default=0)


def test_the_processes_take_the_steps_of_one_process():
    order = RandomOrderSampler(10, seed=3)
    lengths = [5, 9, 1, 4, 4, 7, 2, 8, 3, 6]
    shares = [list(StepShares(order, lengths, 4, 3, index)) for index in range(3)]
    plain = list(order)
    for step in range(3):
        together = [record for share in shares for record in share[step]]
        assert sorted(together) == sorted(plain[step * 4 : step * 4 + 4])
    assert [len(share[2]) for share in shares] == [1, 1, 0]  # two records are left for three processes
