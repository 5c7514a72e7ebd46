"""Speed and memory of LoRA fine-tuning: ours beside TRL's SFTTrainer and a plain Trainer with peft, in one run.

    python benchmarks/fine_tuning.py [--shape 135m|small] [--records 64] [--rounds 2] [--llamafactory PYTHON]

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

LLaMA-Factory needs older transformers, peft and TRL than this toolkit, so it has an environment of its own, too:
`--llamafactory PYTHON` names its Python (`llamafactory_peer.py` tells how it is made).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from fine_tuning_tools import RANK, SEED, TEMPLATE, result_of, train_with  # noqa: E402  # the toolkit is on the path now

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
TOOLS = ("ours", "ours float32", "plain Trainer", "TRL defaults", "TRL packed bf16", "LLaMA-Factory")
HELD_OUT = 24
PRODUCT_SIDE, PRODUCT_TRIES = 2048, 5


def main() -> None:
    """Run the comparison, or one tool of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=list(SHAPES), default="135m")
    parser.add_argument("--records", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--tools", nargs="+", choices=TOOLS, default=list(TOOLS))
    parser.add_argument("--llamafactory", metavar="PYTHON", default="", help="the Python that LLaMA-Factory is in")
    parser.add_argument("--train-with", choices=TOOLS, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.train_with:
        print("RESULT " + json.dumps(train_with(args.train_with, args.work, args.llamafactory)))
        return
    if importlib.util.find_spec("trl") is None:
        print("TRL is left out: it is not installed (pip install trl==1.16.0)")
        args.tools = [tool for tool in args.tools if not tool.startswith("TRL")]
    if not args.llamafactory:
        print("LLaMA-Factory is left out: --llamafactory names the Python that it is installed in")
        args.tools = [tool for tool in args.tools if tool != "LLaMA-Factory"]
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
            run = run_apart(tool, work, args.llamafactory)
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


def run_apart(tool: str, work: Path, llamafactory: str) -> dict[str, float]:
    """One training in a process of its own."""
    command = [sys.executable, __file__, "--train-with", tool, "--work", str(work), "--llamafactory", llamafactory]
    return result_of(subprocess.run(command, capture_output=True, text=True, check=False), tool)


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


if __name__ == "__main__":
    main()
