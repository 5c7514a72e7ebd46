"""Speed and memory of LoRA fine-tuning: ours beside TRL's SFTTrainer and a plain Trainer with peft, in one run.

    python benchmarks/fine_tuning.py [--shape 135m|small] [--records 64] [--rounds 3]

All train the same random-initialised Llama (`135m`: the shape of SmolLM2-135M with 49,152 tokens) on the same
conversations with the same LoRA (rank 16, all linear layers, no dropout), 16 records an optimizer step, loss on
answers only. Each runs in a process of its own, in turn (A B C A B C). Printed are medians of supervised tokens a
second (from the first step to the last), of the peak memory of the process, and of the loss on held-out records.
TRL is left out where it is not installed:

    pip install trl==1.16.0
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

SHAPES = {
    "135m": {
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "vocab_size": 49_152,
        "tie_word_embeddings": True,
        "max_position_embeddings": 2048,
    },
    "small": {
        "hidden_size": 256,
        "intermediate_size": 768,
        "num_hidden_layers": 8,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 8_192,
        "tie_word_embeddings": True,
        "max_position_embeddings": 2048,
    },
}
TOOLS = ("ours", "ours float32", "plain Trainer", "TRL defaults", "TRL packed bf16")
RECORDS_PER_STEP, MOST_TOKENS, RANK, LEARNING_RATE, SEED = 16, 512, 16, 1e-3, 0
HELD_OUT = 24
TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}{% if m['role'] == 'assistant' %}"
    "{% generation %}{{ m['content'] + '<|im_end|>' }}{% endgeneration %}{% else %}"
    "{{ m['content'] + '<|im_end|>' }}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def main() -> None:
    """Run the comparison, or one tool of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=list(SHAPES), default="135m")
    parser.add_argument("--records", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tools", nargs="+", choices=TOOLS, default=list(TOOLS))
    parser.add_argument("--train-with", choices=TOOLS, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.train_with:
        print("RESULT " + json.dumps(train_with(args.train_with, args.work)))
        return
    if importlib.util.find_spec("trl") is None:
        print("TRL is left out: it is not installed (pip install trl==1.16.0)")
        args.tools = [tool for tool in args.tools if not tool.startswith("TRL")]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        prepare(work, args.shape, args.records)
        report(args, work)


def prepare(work: Path, shape: str, count: int) -> None:
    """Write the model, its tokenizer and the conversations that all tools are given."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from shared_utils.model_utils import load_tokenizer

    tokenizer = load_tokenizer("starter", None)
    tokenizer.chat_template = TEMPLATE
    torch.manual_seed(SEED)
    config = LlamaConfig(**SHAPES[shape], eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)
    LlamaForCausalLM(config).save_pretrained(work / "model")
    tokenizer.save_pretrained(work / "model")
    for name, seed, number in (("train", 1, count), ("held_out", 2, HELD_OUT)):
        lines = [json.dumps({"messages": conversation}) for conversation in conversations(seed, number)]
        (work / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def conversations(seed: int, count: int) -> list[list[dict[str, str]]]:
    """Questions and answers of very different lengths, as real data has them."""
    words = (ROOT / "sample_world" / "files" / "documents" / "brew_book.md").read_text(encoding="utf-8").split()
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        lengths = [max(4, min(limit, int(rng.lognormvariate(mean, 0.8)))) for mean, limit in ((3.0, 120), (4.2, 220))]
        question, answer = (" ".join(rng.choices(words, k=length)) for length in lengths)
        found.append([{"role": "user", "content": question}, {"role": "assistant", "content": answer}])
    return found


def report(args: argparse.Namespace, work: Path) -> None:
    """Run all tools in turn and print one line each."""
    results: dict[str, list[dict[str, Any]]] = {tool: [] for tool in args.tools}
    for _ in range(args.rounds):
        for tool in args.tools:
            command = [sys.executable, __file__, "--train-with", tool, "--work", str(work)]
            finished = subprocess.run(command, capture_output=True, text=True, check=False)
            lines = [line for line in finished.stdout.splitlines() if line.startswith("RESULT ")]
            if not lines:
                sys.exit(f"{tool} failed:\n{finished.stderr[-3000:]}")
            results[tool].append(json.loads(lines[-1].removeprefix("RESULT ")))
    speeds = {tool: statistics.median(run["tokens_per_second"] for run in runs) for tool, runs in results.items()}
    print(f"{args.shape}, {args.records} records, {args.rounds} rounds; x: times ours")
    print(f"{'':18} {'supervised tokens/s':>20} {'ours is x':>10} {'peak MB':>8} {'held-out loss':>14}")
    for tool, runs in results.items():
        peak = statistics.median(run["peak_mb"] for run in runs)
        loss = statistics.median(run["held_out_loss"] for run in runs)
        ratio = speeds.get("ours", float("nan")) / speeds[tool]
        print(f"{tool:18} {speeds[tool]:20.0f} {ratio:10.2f} {peak:8.0f} {loss:14.4f}")


def train_with(tool: str, work: Path) -> dict[str, float]:
    """Train once; what it cost and what it gave."""
    import torch

    torch.set_num_threads(2)
    torch.manual_seed(SEED)
    rows = [json.loads(line) for line in (work / "train.jsonl").read_text(encoding="utf-8").splitlines()]
    if tool.startswith("ours"):
        model, seconds = train_ours(work, rows, "float32" if "float32" in tool else "auto")
    elif tool == "plain Trainer":
        model, seconds = train_plain(work, rows)
    else:
        model, seconds = train_trl(work, rows, is_packed="packed" in tool)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    supervised, loss = measure(work, rows, model)
    return {"tokens_per_second": supervised / seconds, "peak_mb": peak, "held_out_loss": loss}


def measure(work: Path, rows: list[dict[str, Any]], model: Any) -> tuple[int, float]:
    """Supervised tokens of the training records, and the loss on the held-out ones, counted alike for all."""
    from shared_utils.batches import Collator
    from training_methods.transfer_learning.dataset import held_out_loss

    held_out = [json.loads(line) for line in (work / "held_out.jsonl").read_text(encoding="utf-8").splitlines()]
    tokenizer = tokenizer_of(work)
    loss = held_out_loss(model, encoded(held_out, tokenizer), Collator(tokenizer.pad_token_id), 4)
    return encoded(rows, tokenizer).summary.supervised_tokens, loss


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


def train_ours(work: Path, rows: list[dict[str, Any]], precision: str) -> tuple[Any, float]:
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
    return tuner.model, loop_seconds(trainer)


def loop_seconds(trainer: Any) -> float:
    """The seconds that the training loop took, without loading and preparing."""
    return float(next(row["train_runtime"] for row in reversed(trainer.state.log_history) if "train_runtime" in row))


def lora_config() -> Any:
    """The adapters that every peer is given."""
    from peft import LoraConfig

    return LoraConfig(r=RANK, lora_alpha=2 * RANK, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM")


def train_plain(work: Path, rows: list[dict[str, Any]]) -> tuple[Any, float]:
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
    return model, loop_seconds(trainer)


def train_trl(work: Path, rows: list[dict[str, Any]], is_packed: bool) -> tuple[Any, float]:
    """TRL's SFTTrainer: its defaults, or packed sequences in bfloat16 without recomputing, its best found."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM
    from trl import SFTConfig, SFTTrainer

    best: dict[str, Any] = {}
    if is_packed:
        mean_length = sum(len(row.input_ids) for row in encoded(rows, tokenizer_of(work)).rows) / len(rows)
        per_row = max(1, round(MOST_TOKENS / mean_length))  # records that fit into one packed row
        best = {"packing": True, "bf16": True, "gradient_checkpointing": False}
        best |= {"per_device_train_batch_size": max(1, RECORDS_PER_STEP // per_row), "gradient_accumulation_steps": 1}
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
    return trainer.model, loop_seconds(trainer)


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


if __name__ == "__main__":
    main()
