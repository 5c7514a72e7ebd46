"""Fine-tuning: every architecture, exact losses, and clear words where something is wrong."""

from __future__ import annotations

import json
import math

import pytest
import torch

from shared_utils.batches import Collator
from shared_utils.errors import ConfigurationError, DataValidationError, LLMToolkitError, SecurityError, TrainingError
from shared_utils.model_names import locate_model
from shared_utils.model_utils import load_model, load_tokenizer
from training_methods.transfer_learning.dataset import RandomOrderSampler, held_out_loss
from training_methods.transfer_learning.models.lora_model import LoRAFineTuner
from training_methods.transfer_learning.settings import CheckpointSettings, TrainingSettings
from training_methods.transfer_learning.training_arguments import save_interval, total_steps, warmup_steps

PAIRS = [{"prompt": f"What is in box {number}?", "completion": f"{number} pears."} for number in range(8)]


def tiny_config(kind: str, vocabulary: int, end: int):
    from transformers import Gemma2Config, GPT2Config, LlamaConfig, Qwen2Config

    shape = {
        "vocab_size": vocabulary, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 128,
        "bos_token_id": None, "eos_token_id": end, "pad_token_id": 0,
    }  # fmt: skip
    if kind == "gpt2":
        return GPT2Config(vocab_size=vocabulary, n_embd=32, n_layer=2, n_head=2, n_positions=128,
                          bos_token_id=end, eos_token_id=end)  # fmt: skip
    if kind == "gemma":
        return Gemma2Config(**shape, head_dim=16)
    return {"llama": LlamaConfig, "qwen": Qwen2Config}[kind](**shape)


@pytest.fixture(scope="module", params=["llama", "gpt2", "qwen", "gemma"])
def any_model(request, tmp_path_factory):
    """A random model of each architecture, as a folder."""
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("models") / request.param
    tokenizer = load_tokenizer("starter")
    torch.manual_seed(1)
    AutoModelForCausalLM.from_config(
        tiny_config(request.param, len(tokenizer), tokenizer.eos_token_id)
    ).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_every_architecture_learns_saves_and_loads_again(any_model, tmp_path):
    """A tiny model overfits eight records, and the saved adapter gives the same loss."""
    tuner = LoRAFineTuner(str(any_model), lora_r=8, lora_dropout=0.0, device="cpu")
    data = tuner.prepare_instruction_dataset(PAIRS, max_length=64)
    collator = Collator(tuner.tokenizer.pad_token_id)
    before = held_out_loss(tuner.model, data, collator, 8)
    training = TrainingSettings(
        max_steps=25, learning_rate=1e-2, per_device_train_batch_size=8, gradient_accumulation_steps=1, max_length=64
    )
    tuner.train(data, tmp_path / "run", training=training)
    after = held_out_loss(tuner.model, data, collator, 8)
    assert after < before - 0.5
    tuner.save(tmp_path / "saved")
    again = load_model(str(tmp_path / "saved"), "cpu")
    assert held_out_loss(again, data, collator, 8) == pytest.approx(after, abs=1e-5)
    assert load_tokenizer(str(tmp_path / "saved")).chat_template == tuner.tokenizer.chat_template


def test_all_linear_reaches_every_linear_layer_and_not_the_head(any_model):
    tuner = LoRAFineTuner(str(any_model), device="cpu")
    adapted = {
        name.split(".lora_A")[0].rsplit(".", 1)[-1] for name, _ in tuner.model.named_parameters() if "lora_A" in name
    }
    expected = {
        "gpt2": {"c_attn", "c_proj", "c_fc"},
    }.get(any_model.name, {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"})
    assert adapted == expected


def test_a_module_that_the_model_lacks_is_an_error_that_lists_those_present(tiny_model):
    with pytest.raises(ConfigurationError) as caught:
        LoRAFineTuner(str(tiny_model), target_modules=["q_proj", "c_attn"], device="cpu")
    assert "no module 'c_attn'" in caught.value.message
    assert "down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj" in caught.value.message


def test_the_held_out_loss_does_not_depend_on_batch_size_or_padding(tiny_model):
    tuner = LoRAFineTuner(str(tiny_model), device="cpu")
    rows = [{"prompt": "Why? " * n, "completion": "Because. " * (9 - n)} for n in range(1, 8)]
    data = tuner.prepare_instruction_dataset(rows, max_length=128)
    collator = Collator(tuner.tokenizer.pad_token_id)
    losses = [held_out_loss(tuner.model, data, collator, size) for size in (1, 2, 3, 7)]
    assert losses == pytest.approx([losses[0]] * 4, abs=1e-5)


def test_the_held_out_loss_by_hand(tiny_model):
    """The mean of -log p over the answer tokens, computed one token at a time."""
    tuner = LoRAFineTuner(str(tiny_model), device="cpu")
    data = tuner.prepare_instruction_dataset(PAIRS[:2], max_length=64)
    logs = []
    for row in data.rows:
        with torch.inference_mode():
            logits = tuner.model(input_ids=torch.tensor([row.input_ids])).logits[0]
        for position, label in enumerate(row.labels[1:]):
            if label != -100:
                logs.append(float(torch.log_softmax(logits[position], -1)[label]))
    assert held_out_loss(tuner.model, data, Collator(0), 2) == pytest.approx(-sum(logs) / len(logs), abs=1e-5)


def test_sampling_sees_every_record_once_and_depends_on_seed_and_epoch_only():
    sampler = RandomOrderSampler(23, seed=3)
    first = list(sampler)
    assert sorted(first) == list(range(23))
    assert list(sampler) == first == list(RandomOrderSampler(23, seed=3))
    sampler.epoch = 1
    assert list(sampler) != first


@pytest.mark.parametrize(
    ("rows", "settings", "steps"),
    [
        (100, {"num_train_epochs": 3, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 4}, 21),
        (3, {"num_train_epochs": 1, "per_device_train_batch_size": 8, "gradient_accumulation_steps": 4}, 1),
        (100, {"max_steps": 7}, 7),
    ],
)
def test_steps_are_counted_as_the_library_counts_them(rows, settings, steps):
    assert total_steps(rows, TrainingSettings(**settings)) == steps


def test_a_short_run_is_not_eaten_by_its_warm_up_and_still_saves():
    training, checkpoint = TrainingSettings(), CheckpointSettings()
    assert warmup_steps(training, 39) == 4
    assert warmup_steps(training, 5000) == 100
    assert save_interval(training, checkpoint, 39) == 20
    assert save_interval(TrainingSettings(save_steps=None), CheckpointSettings(save_frequency=7), 5000) == 7


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_records(tiny_model, tmp_path):
    tuner = LoRAFineTuner(str(tiny_model), device="cpu", lora_dropout=0.0)
    data = tuner.prepare_instruction_dataset([{**row, "id": f"pair-{n}"} for n, row in enumerate(PAIRS)], max_length=64)
    with torch.no_grad():
        next(weight for name, weight in tuner.model.named_parameters() if "lora_B" in name).fill_(math.inf)
    with pytest.raises(TrainingError, match=r"the loss became nan at step 1, on the records .*pair-\d"):
        tuner.train(data, tmp_path, training=TrainingSettings(max_steps=2, per_device_train_batch_size=4))
    metrics = tmp_path / "metrics.jsonl"
    assert not metrics.exists() or all(json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines())
    assert not list(tmp_path.glob("checkpoint-*"))


def test_the_same_seed_gives_the_same_adapter(tiny_model, tmp_path):
    def adapter(folder):
        tuner = LoRAFineTuner(str(tiny_model), device="cpu", seed=5)
        data = tuner.prepare_instruction_dataset(PAIRS, max_length=64)
        tuner.train(data, folder, training=TrainingSettings(max_steps=3, per_device_train_batch_size=2))
        tuner.save(folder / "saved")
        return (folder / "saved" / "adapter_model.safetensors").read_bytes()

    assert adapter(tmp_path / "a") == adapter(tmp_path / "b")


def test_fp16_without_a_gpu_is_refused(tiny_model, tmp_path):
    tuner = LoRAFineTuner(str(tiny_model), device="cpu")
    data = tuner.prepare_instruction_dataset(PAIRS, max_length=64)
    with pytest.raises(ConfigurationError, match="fp16 needs a CUDA device"):
        tuner.train(data, tmp_path, training=TrainingSettings(precision="fp16"))


def test_records_that_do_not_fit_are_counted_and_none_left_is_an_error(tiny_model):
    tuner = LoRAFineTuner(str(tiny_model), device="cpu")
    long = {"prompt": "word " * 200, "completion": "yes"}
    data = tuner.prepare_instruction_dataset([*PAIRS, long], max_length=64)
    assert data.summary.dropped == {"answer beyond 64 tokens": 1}
    assert data.summary.records == 8
    with pytest.raises(DataValidationError, match="no record can be trained on: 1 answer beyond 64 tokens"):
        tuner.prepare_instruction_dataset([long], max_length=64)
    with pytest.raises(DataValidationError, match="record 9: answer beyond 64 tokens"):
        tuner.prepare_instruction_dataset([*PAIRS, long], max_length=64, strict=True)


# ---- models that must not be loaded -----------------------------------------------------------------


class Payload:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt"])
def test_pickled_weights_are_refused_and_never_run(tiny_model, tmp_path, name):
    import pickle
    import shutil

    folder, trace = tmp_path / "model", tmp_path / "executed"
    shutil.copytree(tiny_model, folder)
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(pickle.dumps(Payload(trace)))
    with pytest.raises(SecurityError, match="pickle file"):
        load_model(str(folder), "cpu")
    assert not trace.exists()


def test_a_pickled_adapter_is_refused_and_never_run(tiny_model, tmp_path):
    import pickle

    folder, trace = tmp_path / "adapter", tmp_path / "executed"
    LoRAFineTuner(str(tiny_model), device="cpu").save(folder)
    (folder / "adapter_model.safetensors").unlink()
    (folder / "adapter_model.bin").write_bytes(pickle.dumps(Payload(trace)))
    with pytest.raises(SecurityError, match="pickle file"):
        load_model(str(folder), "cpu")
    assert not trace.exists()


def test_a_planted_optimizer_state_is_never_run(tiny_model, tmp_path):
    """Even with a manifest made to fit, the state is loaded as weights only."""
    import pickle

    from shared_utils.file_utils import sha256_of
    from training_methods.transfer_learning.checkpoints import MANIFEST_NAME, newest_valid

    trace = tmp_path / "executed"
    training = TrainingSettings(max_steps=2, save_steps=1, per_device_train_batch_size=2)
    tuner = LoRAFineTuner(str(tiny_model), device="cpu")
    data = tuner.prepare_instruction_dataset(PAIRS, max_length=64)
    tuner.train(data, tmp_path / "run", training=training)
    checkpoint, _ = newest_valid(tmp_path / "run")
    planted = checkpoint / "optimizer.pt"
    planted.write_bytes(pickle.dumps(Payload(trace), protocol=2))
    manifest = json.loads((checkpoint / MANIFEST_NAME).read_text(encoding="utf-8"))
    manifest["files"]["optimizer.pt"] = {"bytes": planted.stat().st_size, "sha256": sha256_of(planted)}
    (checkpoint / MANIFEST_NAME).write_text(json.dumps(manifest), encoding="utf-8")
    tuner = LoRAFineTuner(str(tiny_model), device="cpu")
    with pytest.raises(SecurityError, match="it was not run"):
        tuner.train(data, tmp_path / "run", training=TrainingSettings(max_steps=4), resume_from=checkpoint)
    assert not trace.exists()


def test_a_model_that_brings_its_own_code_is_refused(tiny_model, tmp_path):
    import shutil

    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["auto_map"] = {"AutoModelForCausalLM": "modeling.Evil"}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(SecurityError, match="its own Python code"):
        load_model(str(folder), "cpu")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda folder: (folder / "config.json").write_text("{", encoding="utf-8"), "config.json is damaged"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"xx"), "model.safetensors is damaged"),
        (lambda folder: (folder / "model.safetensors").unlink(), "has no weights"),
        (lambda folder: (folder / "config.json").unlink(), "holds no model"),
        (lambda folder: (folder / "tokenizer.json").write_text("{", encoding="utf-8"), "cannot be loaded"),
    ],
)
def test_a_damaged_model_folder_is_one_clear_line(tiny_model, tmp_path, harm, message):
    import shutil

    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    harm(folder)
    with pytest.raises(DataValidationError, match=message):
        LoRAFineTuner(str(folder), device="cpu")


def test_an_unknown_name_without_a_network_is_told_quickly(monkeypatch):
    import shared_utils.model_names as names

    monkeypatch.setattr(names, "HUB_ADDRESS", ("127.0.0.1", 9))
    with pytest.raises(LLMToolkitError, match="neither a folder here nor in the local cache"):
        locate_model("nobody/no-such-model")
    with pytest.raises(DataValidationError, match="no model folder at"):
        locate_model("./no/such/folder")


# ---- recording a run --------------------------------------------------------------------------------


def test_event_files_hold_the_losses_and_a_continuation_replaces_what_comes_again(tiny_model, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    training = TrainingSettings(max_steps=4, save_steps=2, logging_steps=1, per_device_train_batch_size=2)

    def train(resume_from=None):
        tuner = LoRAFineTuner(str(tiny_model), device="cpu")
        data = tuner.prepare_instruction_dataset(PAIRS, max_length=64)
        tuner.train(data, tmp_path, training=training, resume_from=resume_from)

    train()
    train(tmp_path / "checkpoint-2")
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("train/loss")] == [1, 2, 3, 4]
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4]


def test_wandb_that_is_not_installed_is_told_with_the_command_that_installs_it(tiny_model, tmp_path):
    from importlib.util import find_spec

    if find_spec("wandb"):
        pytest.skip("wandb is installed here")
    from training_methods.transfer_learning.settings import LoggingSettings

    tuner = LoRAFineTuner(str(tiny_model), device="cpu")
    data = tuner.prepare_instruction_dataset(PAIRS, max_length=64)
    with pytest.raises(ConfigurationError) as caught:
        tuner.train(data, tmp_path, logging=LoggingSettings(use_wandb=True))
    assert caught.value.hint == "pip install wandb"


def test_wandb_records_without_a_network_when_it_is_installed(tiny_model, records_file, tmp_path):
    pytest.importorskip("wandb")
    import subprocess
    import sys

    from tests.conftest import ROOT

    words = ["train-lora", "--train-data", str(records_file), "--model", str(tiny_model), "--max-steps", "2"]
    words += ["--set", "logging.use_wandb=true", "--output-dir", str(tmp_path / "run")]
    done = subprocess.run([sys.executable, str(ROOT / "main.py"), *words], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "wandb").glob("offline-run-*"))


def test_sample_replies_are_written_at_each_evaluation_and_change_nothing(tiny_model, tmp_path):
    from training_methods.transfer_learning.settings import InRunEvaluationSettings

    def train(folder, generate):
        tuner = LoRAFineTuner(str(tiny_model), device="cpu")
        train_data = tuner.prepare_instruction_dataset(PAIRS[:6], max_length=64)
        held_out = tuner.prepare_instruction_dataset(PAIRS[6:], max_length=64)
        tuner.train(
            train_data, folder, eval_dataset=held_out,
            training=TrainingSettings(max_steps=3, per_device_train_batch_size=2, gradient_accumulation_steps=1),
            evaluation=InRunEvaluationSettings(eval_frequency=1, generate_samples=generate, num_samples=1),
        )  # fmt: skip
        return [weight.detach().clone() for weight in tuner.model.parameters() if weight.requires_grad]

    with_samples, without = train(tmp_path / "a", True), train(tmp_path / "b", False)
    assert all(torch.equal(one, other) for one, other in zip(with_samples, without, strict=True))
    rows = [json.loads(line) for line in (tmp_path / "a" / "samples.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert rows[0]["reference"] == "6 pears."
    assert not (tmp_path / "b" / "samples.jsonl").exists()


def test_early_stopping_ends_a_run_that_no_longer_improves_and_goes_back_to_the_best(tiny_model, tmp_path):
    from training_methods.transfer_learning.settings import EarlyStoppingSettings, InRunEvaluationSettings

    tuner = LoRAFineTuner(str(tiny_model), device="cpu", lora_dropout=0.0)
    train_data = tuner.prepare_instruction_dataset(PAIRS[:4], max_length=64)
    held_out = tuner.prepare_instruction_dataset([{"prompt": "Who?", "completion": "Nobody, never."}], max_length=64)
    trainer = tuner.train(
        train_data,
        tmp_path,
        eval_dataset=held_out,
        training=TrainingSettings(
            max_steps=60, learning_rate=5e-2, per_device_train_batch_size=4, gradient_accumulation_steps=1
        ),
        early_stopping=EarlyStoppingSettings(patience=2, min_delta=0.0),
        evaluation=InRunEvaluationSettings(eval_frequency=1, generate_samples=False),
    )
    assert trainer.state.global_step < 60
    assert trainer.state.best_global_step < trainer.state.global_step
    best = held_out_loss(tuner.model, held_out, Collator(tuner.tokenizer.pad_token_id), 1)
    assert best == pytest.approx(trainer.state.best_metric, abs=1e-5)
