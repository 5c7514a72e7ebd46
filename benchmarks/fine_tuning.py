"""Speed and memory of LoRA fine-tuning: ours beside TRL's SFTTrainer and a plain Trainer with peft, in one run.

    python benchmarks/fine_tuning.py [--shape 135m|small] [--records 64] [--rounds 2]

All train the same random-initialised Llama (`135m`: the shape of SmolLM2-135M with 49,152 tokens) on the same
conversations with the same LoRA (rank 16, all linear layers, no dropout), 16 records an optimizer step, loss on
answers only. Each runs in a process of its own, in turn (A B C A B C). Printed are medians of supervised tokens a
second (from the first step to the last), of the peak memory of the process, and of the loss on held-out records;
the supervised tokens and optimizer steps of each, which should be alike; and the share of the machine's measured
matrix-product rate that our step reaches (see `needed_operations`). A line on stderr tells of each finished run.

TRL is left out where it is not installed. An environment of its own keeps ours as it is:

    python -m venv trl-environment
    trl-environment/bin/pip install -r requirements.txt trl==1.16.0
    trl-environment/bin/python benchmarks/fine_tuning.py

LLaMA-Factory is not among the peers: its release 0.9.5 needs older transformers, peft and TRL than this toolkit.
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
import time
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
PRODUCT_SIDE, PRODUCT_TRIES = 2048, 5
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
    parser.add_argument("--rounds", type=int, default=2)
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
    rates = {"bfloat16": 0.0, "float32": 0.0}
    for number in range(1, args.rounds + 1):
        rates = {kind: max(rate, product_rate(kind)) for kind, rate in rates.items()}
        for tool in args.tools:
            started = time.perf_counter()
            run = run_apart(tool, work)
            results[tool].append(run)
            told = f"{run['tokens_per_second']:.0f} tokens/s, {time.perf_counter() - started:.0f} s with start-up"
            print(f"round {number} of {args.rounds}: {tool}, {told}", file=sys.stderr, flush=True)
    middle = {tool: medians(runs) for tool, runs in results.items()}
    print(f"{args.shape}, {args.records} records, {args.rounds} rounds; x: times ours")
    print(
        f"{'':18} {'supervised tokens/s':>20} {'ours is x':>10} {'peak MB':>8} {'held-out loss':>14}"
        f" {'supervised':>11} {'steps':>6}"
    )
    ours = middle.get("ours", {}).get("tokens_per_second", float("nan"))
    for tool, run in middle.items():
        speed = run["tokens_per_second"]
        print(
            f"{tool:18} {speed:20.0f} {ours / speed:10.2f} {run['peak_mb']:8.0f} {run['held_out_loss']:14.4f}"
            f" {run['supervised']:11.0f} {run['steps']:6.0f}"
        )
    print(", ".join(f"{kind} products: {rate:.0f} GFLOP/s" for kind, rate in rates.items()))
    for tool in (tool for tool in middle if tool.startswith("ours")):
        run = middle[tool]
        kind = "bfloat16" if run["is_bfloat16"] else "float32"
        reached = needed_operations(SHAPES[args.shape], run["tokens"], run["supervised"]) / run["seconds"] / 1e9
        print(f"{tool} ({kind}): {reached:.0f} GFLOP/s of needed products, {reached / rates[kind]:.0%} of that rate")


def run_apart(tool: str, work: Path) -> dict[str, float]:
    """One training in a process of its own; a failed one ends the benchmark with its last words."""
    command = [sys.executable, __file__, "--train-with", tool, "--work", str(work)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in finished.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        sys.exit(f"{tool} failed:\n{finished.stderr[-3000:]}")
    return json.loads(lines[-1].removeprefix("RESULT "))


def medians(runs: list[dict[str, float]]) -> dict[str, float]:
    """The median of every figure over the rounds."""
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def product_rate(kind: str) -> float:
    """GFLOP/s of the fastest of several square matrix products in this number format, with 2 threads."""
    import torch

    torch.set_num_threads(2)
    left, right = (torch.randn(PRODUCT_SIDE, PRODUCT_SIDE).to(getattr(torch, kind)) for _ in range(2))
    seconds = []
    for _ in range(PRODUCT_TRIES):
        started = time.perf_counter()
        left @ right
        seconds.append(time.perf_counter() - started)
    return 2 * PRODUCT_SIDE**3 / min(seconds) / 1e9


def needed_operations(shape: dict[str, Any], tokens: float, supervised: float) -> float:
    """Floating point operations of the products that LoRA training of an epoch needs; a product of m x k x n is 2mkn.

    A frozen linear layer of `i` inputs and `o` outputs: 2io a token forward, 2io for the gradient of its input. Its
    adapters of rank r: 2r(i+o) forward, as much for the gradients of their inputs, as much for their weights. The
    first block's query, key and value layers need no gradient of their input, as the embeddings are frozen. The
    output layer: 4 x hidden x vocabulary at each supervised token. Padding, attention's own products and whatever is
    computed a second time do not count; every block counts at all tokens.
    """
    hidden, inner = shape["hidden_size"], shape["intermediate_size"]
    key_value = hidden // shape["num_attention_heads"] * shape["num_key_value_heads"]
    readers = [(hidden, hidden), (hidden, key_value), (hidden, key_value)]  # query, key, value
    layers = [*readers, (hidden, hidden), (hidden, inner), (hidden, inner), (inner, hidden)]
    block = sum(4 * i * o + 6 * RANK * (i + o) for i, o in layers)
    not_needed = sum(2 * i * o + 2 * RANK * i for i, o in readers)
    per_token = shape["num_hidden_layers"] * block - not_needed
    return tokens * per_token + supervised * 4 * hidden * shape["vocab_size"]


def train_with(tool: str, work: Path) -> dict[str, float]:
    """Train once; what it cost and what it gave."""
    import torch

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


if __name__ == "__main__":
    main()
