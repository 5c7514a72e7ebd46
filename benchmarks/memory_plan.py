"""The memory plan beside what a run really takes, for each way of training, with and without recomputed activations.

    python benchmarks/memory_plan.py [--shapes starter 50m 135m] [--only lora]

Every case trains two optimizer steps on records of full length in a process of its own, whose memory is read a
hundred times a second while it trains. Printed are the plan (`memory.plan_memory`), the highest reading, and their
ratio: below 1 a run was told to need less than it took.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

SHAPES: dict[str, dict[str, int]] = {
    "50m": {
        "hidden_size": 512, "intermediate_size": 1408, "num_hidden_layers": 10, "num_attention_heads": 8,
        "num_key_value_heads": 4, "vocab_size": 32_768,
    },
    "135m": {
        "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9,
        "num_key_value_heads": 3, "vocab_size": 49_152,
    },
}  # fmt: skip
# Method, tokens of a record, records of a pass, activations recomputed, precision.
CASES: list[tuple[str, int, int, bool, str]] = [
    ("lora", 512, 4, False, "auto"),
    ("lora", 512, 4, False, "float32"),
    ("lora", 512, 4, True, "auto"),
    ("lora", 2048, 1, False, "auto"),
    ("qlora", 512, 4, False, "auto"),
    ("qlora", 512, 4, True, "auto"),
    ("full", 512, 4, False, "auto"),
    ("full", 512, 4, False, "float32"),
    ("full", 512, 4, True, "auto"),
]


def main() -> None:
    """Measure all cases, or one of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", choices=["starter", *SHAPES], default=["starter", *SHAPES])
    parser.add_argument("--only", choices=["lora", "qlora", "full"])
    parser.add_argument("--case", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        print("RESULT " + json.dumps(measure(*json.loads(args.case))))
        return
    print(
        f"{'model':8} {'method':6} {'tokens':>8} {'recompute':9} {'number':8} "
        f"{'plan MB':>8} {'took MB':>8} {'ratio':>6}"
    )
    with tempfile.TemporaryDirectory() as folder:
        for shape in args.shapes:
            model = make_model(shape, Path(folder) / shape)
            for case in CASES:
                if args.only in (None, case[0]):
                    tell(shape, case, model)


def tell(shape: str, case: tuple[str, int, int, bool, str], model: str) -> None:
    """Measure one case in a process of its own, and print it."""
    method, length, batch_size, recompute, precision = case
    if shape == "starter":
        length = min(length, 1024)
    words = [sys.executable, __file__, "--case", json.dumps([model, method, length, batch_size, recompute, precision])]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        sys.exit(f"{shape} {case} failed:\n{done.stderr[-3000:]}")
    found = json.loads(lines[-1].removeprefix("RESULT "))
    print(
        f"{shape:8} {method:6} {batch_size}x{length:<6} {'yes' if recompute else 'no':9} {found['precision']:8} "
        f"{found['plan'] / 1e6:8,.0f} {found['took'] / 1e6:8,.0f} {found['plan'] / found['took']:6.2f}  "
        f"{found['parts']}",
        flush=True,
    )


def make_model(shape: str, folder: Path) -> str:
    """A random model of a shape, as a folder."""
    if shape == "starter":
        return shape
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from shared_utils.model_utils import load_tokenizer

    tokenizer = load_tokenizer("starter")
    torch.manual_seed(0)
    config = LlamaConfig(
        **SHAPES[shape], tie_word_embeddings=True, max_position_embeddings=2048, eos_token_id=tokenizer.eos_token_id
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def measure(model: str, method: str, length: int, batch_size: int, recompute: bool, precision: str) -> dict[str, Any]:
    """The plan and the highest memory of the process in two optimizer steps, in bytes."""
    import psutil

    from training_methods import FullFineTuner, LoRAFineTuner, QLoRAFineTuner
    from training_methods.transfer_learning.memory import plan_memory
    from training_methods.transfer_learning.settings import LoggingSettings, TrainingSettings

    kinds: dict[str, Any] = {"lora": LoRAFineTuner, "qlora": QLoRAFineTuner, "full": FullFineTuner}
    tuner = kinds[method](model, device="cpu")
    words = (ROOT / "sample_world" / "files" / "documents" / "brew_book.md").read_text(encoding="utf-8") * 20
    dataset = tuner.prepare_dataset([words], max_length=length)
    training = TrainingSettings(
        max_steps=2, max_length=length, per_device_train_batch_size=batch_size, gradient_accumulation_steps=1,
        gradient_checkpointing=recompute, precision=precision,
    )  # fmt: skip
    plan = plan_memory(tuner, dataset, training)
    readings = [0]
    ended = threading.Event()

    def read() -> None:
        while not ended.is_set():
            readings.append(psutil.Process().memory_info().rss)
            time.sleep(0.01)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            quiet = LoggingSettings(use_tensorboard=False)
            trainer: Any = tuner.train(dataset, folder, training=training, logging=quiet)
    finally:
        ended.set()
        reader.join()
    parts = {name: round(size / 1e6) for name, size in plan.parts.items()}
    return {"plan": plan.total, "took": max(readings), "precision": trainer.precision, "parts": parts}


if __name__ == "__main__":
    main()
