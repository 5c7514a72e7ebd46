"""The tools that `fine_tuning.py` compares: one training of the same model on the same records with each."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

RECORDS_PER_STEP, MOST_TOKENS, RANK, LEARNING_RATE, SEED = 16, 512, 16, 1e-3, 0
TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}{% if m['role'] == 'assistant' %}"
    "{% generation %}{{ m['content'] + '<|im_end|>' }}{% endgeneration %}{% else %}"
    "{{ m['content'] + '<|im_end|>' }}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def train_with(tool: str, work: Path, llamafactory: str) -> dict[str, float]:
    """Train once; what it cost and what it gave."""
    import torch

    if tool == "LLaMA-Factory":
        return train_llamafactory(work, llamafactory)

    torch.set_num_threads(2)
    torch.manual_seed(SEED)
    rows = [json.loads(line) for line in (work / "train.jsonl").read_text(encoding="utf-8").splitlines()]
    if tool.startswith("ours"):
        model, trainer = train_ours(work, rows, "float32" if "float32" in tool else "auto")
    elif tool == "plain Trainer":
        model, trainer = train_plain(work, rows)
    else:
        model, trainer = train_trl(work, rows, is_packed="packed" in tool)
    peak, seconds = peak_mb(), loop_seconds(trainer)
    summary = encoded(rows, tokenizer_of(work)).summary
    supervised = summary.supervised_tokens if tool.startswith("ours") else supervised_seen(trainer)
    return {
        "tokens_per_second": supervised / seconds,
        "seconds": seconds,
        "peak_mb": peak,
        "held_out_loss": measure(work, model),
        "supervised": supervised,
        "tokens": summary.tokens,
        "steps": trainer.state.global_step,
        "is_bfloat16": any(weight.dtype == torch.bfloat16 for weight in model.parameters()),
    }


def train_llamafactory(work: Path, python: str) -> dict[str, float]:
    """LLaMA-Factory in its own environment, which needs older libraries; its adapter is measured as the others' are."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    request = {"work": str(work), "most_tokens": MOST_TOKENS, "rank": RANK, "records_per_step": RECORDS_PER_STEP}
    request |= {"learning_rate": LEARNING_RATE, "seed": SEED}
    script = Path(__file__).with_name("llamafactory_peer.py")
    shutil.rmtree(work / "factory", ignore_errors=True)
    finished = subprocess.run([python, str(script), json.dumps(request)], capture_output=True, text=True, check=False)
    figures = result_of(finished, "LLaMA-Factory")
    base = AutoModelForCausalLM.from_pretrained(work / "model", trust_remote_code=False)
    model = PeftModel.from_pretrained(base, work / "factory")
    figures["held_out_loss"] = measure(work, model)
    return {
        **figures,
        "tokens_per_second": figures["supervised"] / figures["seconds"],
        "tokens": 0,
        "is_bfloat16": False,
    }


def result_of(finished: subprocess.CompletedProcess[str], tool: str) -> dict[str, Any]:
    """The figures that a training printed; a failed one ends the benchmark with its last words."""
    lines = [line for line in finished.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        sys.exit(f"{tool} failed:\n{finished.stderr[-3000:]}")
    return dict(json.loads(lines[-1].removeprefix("RESULT ")))


def peak_mb() -> float:
    """The most memory that this process held at once.

    On Linux `ru_maxrss` begins with the peak of the process that started this one, so the kernel's own mark is read.
    """
    status = Path("/proc/self/status")
    for line in status.read_text(encoding="utf-8").splitlines() if status.exists() else []:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def supervised_seen(trainer: Any) -> int:
    """The tokens with a label in the batches of an epoch, as the trainer makes them."""
    return sum(int((batch["labels"] != -100).sum()) for batch in trainer.get_train_dataloader())


def measure(work: Path, model: Any) -> float:
    """The loss on the held-out records, measured alike for all."""
    from shared_utils.batches import Collator
    from training_methods.transfer_learning.dataset import held_out_loss

    held_out = [json.loads(line) for line in (work / "held_out.jsonl").read_text(encoding="utf-8").splitlines()]
    tokenizer = tokenizer_of(work)
    return held_out_loss(model, encoded(held_out, tokenizer), Collator(tokenizer.pad_token_id), 4)


def tokenizer_of(work: Path) -> Any:
    """The tokenizer that stands beside the model."""
    from shared_utils.model_utils import load_tokenizer

    return load_tokenizer(str(work / "model"), None)


def encoded(rows: list[dict[str, Any]], tokenizer: Any) -> Any:
    """The records as our trainer takes them."""
    from shared_utils.data_loader import to_record
    from training_methods.transfer_learning.dataset import encode_dataset

    records = [to_record(row, f"record {number}") for number, row in enumerate(rows)]
    return encode_dataset(records, tokenizer, max_length=MOST_TOKENS)


def train_ours(work: Path, rows: list[dict[str, Any]], precision: str) -> tuple[Any, Any]:
    """This toolkit, with its defaults."""
    from training_methods.transfer_learning.models.lora_model import LoRAFineTuner
    from training_methods.transfer_learning.settings import InRunEvaluationSettings, LoggingSettings, TrainingSettings

    tuner = LoRAFineTuner(str(work / "model"), RANK, 2 * RANK, 0.0, device="cpu", seed=SEED)
    training = TrainingSettings(
        num_train_epochs=1,
        learning_rate=LEARNING_RATE,
        lr_scheduler_type="linear",
        warmup_steps=0,
        max_length=MOST_TOKENS,
        save_steps=1000,
        precision=precision,
    )
    trainer = tuner.train(
        tuner.prepare_instruction_dataset(rows, MOST_TOKENS),
        work / "ours",
        training=training,
        evaluation=InRunEvaluationSettings(generate_samples=False),
        logging=LoggingSettings(use_tensorboard=False),
    )
    return tuner.model, trainer


def loop_seconds(trainer: Any) -> float:
    """The seconds that the training loop took, without loading and preparing."""
    return float(next(row["train_runtime"] for row in reversed(trainer.state.log_history) if "train_runtime" in row))


def lora_config() -> Any:
    """The adapters that every peer is given."""
    from peft import LoraConfig

    return LoraConfig(r=RANK, lora_alpha=2 * RANK, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM")


def train_plain(work: Path, rows: list[dict[str, Any]]) -> tuple[Any, Any]:
    """transformers' Trainer with peft and padded batches."""
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM, Trainer, TrainingArguments

    from shared_utils.batches import Collator

    tokenizer = tokenizer_of(work)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(work / "model", trust_remote_code=False), lora_config())
    pad = Collator(tokenizer.pad_token_id)
    arguments = TrainingArguments(
        output_dir=str(work / "plain"),
        per_device_train_batch_size=8,
        gradient_accumulation_steps=RECORDS_PER_STEP // 8,
        **common_arguments(),
    )
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=encoded(rows, tokenizer),
        data_collator=lambda batch: {key: value for key, value in pad(batch).items() if key != "record_index"},
    )
    trainer.train()
    return model, trainer


def train_trl(work: Path, rows: list[dict[str, Any]], is_packed: bool) -> tuple[Any, Any]:
    """TRL's SFTTrainer: its defaults, or packed sequences in bfloat16 without recomputing, its best found."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM
    from trl import SFTConfig, SFTTrainer

    best: dict[str, Any] = {}
    if is_packed:
        best = {"packing": True, "bf16": True, "gradient_checkpointing": False}
        best |= {"per_device_train_batch_size": packed_batch(work, rows), "gradient_accumulation_steps": 1}
    config = SFTConfig(
        output_dir=str(work / "trl"),
        **{
            "max_length": MOST_TOKENS,
            "assistant_only_loss": True,
            "per_device_train_batch_size": 8,
            "gradient_accumulation_steps": RECORDS_PER_STEP // 8,
            "dataset_num_proc": 1,
            **common_arguments(),
            **best,
        },
    )
    model = AutoModelForCausalLM.from_pretrained(work / "model", trust_remote_code=False)
    tokenizer = tokenizer_of(work)
    tokenizer.chat_template = TEMPLATE
    data = Dataset.from_list(rows)
    trainer = SFTTrainer(
        model=model, args=config, train_dataset=data, processing_class=tokenizer, peft_config=lora_config()
    )
    trainer.train()
    return trainer.model, trainer


def packed_batch(work: Path, rows: list[dict[str, Any]]) -> int:
    """Packed rows a step with which TRL takes as many optimizer steps as the others, or as near as can be."""
    from datasets import Dataset
    from trl import pack_dataset

    ids = [list(row.input_ids) for row in encoded(rows, tokenizer_of(work)).rows]
    packed = len(pack_dataset(Dataset.from_dict({"input_ids": ids}), MOST_TOKENS, "bfd"))
    wanted = -(-len(rows) // RECORDS_PER_STEP)
    return min(range(1, packed + 1), key=lambda size: abs(-(-packed // size) - wanted))


def common_arguments() -> dict[str, Any]:
    """What is the same for every peer."""
    return {
        "num_train_epochs": 1,
        "learning_rate": LEARNING_RATE,
        "lr_scheduler_type": "linear",
        "save_strategy": "no",
        "report_to": [],
        "use_cpu": True,
        "seed": SEED,
        "disable_tqdm": True,
        "remove_unused_columns": False,
    }
