"""Records a second and peak memory of turning training records into token ids, beside `datasets.map`.

    python benchmarks/data_preparation.py [RECORDS...]      default: 10000 100000

Each measurement is a process of its own. Both take the loss on answers only; `datasets` runs the usual recipe (the
library's chat template with the answer masked) on two processes and is left out where it is not installed.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
MAX_LENGTH = 512


def records(count: int) -> list[dict]:
    """Short questions and answers, all different."""
    return [
        {
            "id": str(number),
            "source": f"record {number}",
            "messages": [
                {"role": "user", "content": f"What is the number of box {number}, and who put it there?"},
                {"role": "assistant", "content": f"It is {number * 7 % 13}. The gardener did, in the morning."},
            ],
        }
        for number in range(count)
    ]


def toolkit(rows: list[dict], tokenizer, folder: str) -> int:
    """Our way, into files that are mapped; tokens."""
    from training_methods.transfer_learning.dataset import encode_dataset

    data = encode_dataset(rows, tokenizer, max_length=MAX_LENGTH, cache_dir=Path(folder))
    return sum(data.lengths)


def datasets_map(rows: list[dict], tokenizer, folder: str) -> int:
    """The usual recipe; tokens."""
    import datasets

    def encode(row: dict) -> dict:
        text = tokenizer.apply_chat_template(row["messages"], tokenize=False)
        prompt = tokenizer.apply_chat_template(row["messages"][:-1], tokenize=False, add_generation_prompt=True)
        ids = tokenizer(text, add_special_tokens=False)["input_ids"][:MAX_LENGTH]
        skip = len(tokenizer(prompt, add_special_tokens=False)["input_ids"])
        return {"input_ids": ids, "labels": [-100] * skip + ids[skip:]}

    data = datasets.Dataset.from_list(rows).map(encode, num_proc=2, remove_columns=["messages", "id", "source"])
    data.save_to_disk(folder + "/saved")
    return sum(map(len, data["input_ids"]))


def measure(way: str, count: int) -> None:
    """One measurement in this process."""
    # Neither imports nor the loading of the tokenizer are timed.
    import training_methods.transfer_learning.dataset  # noqa: F401
    from shared_utils.model_utils import load_tokenizer

    tokenizer = load_tokenizer("starter")
    rows = records(count)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory() as folder:
        started, processor = time.perf_counter(), time.process_time()
        tokens = {"toolkit": toolkit, "datasets": datasets_map}[way](rows, tokenizer, folder)
        seconds, processor = time.perf_counter() - started, time.process_time() - processor
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    own = f"{processor / count * 1e6:.0f} CPU microseconds a record, " if way == "toolkit" else ""
    print(f"{way:9} {count:>8,} records {tokens:>10,} tokens {count / seconds:>9,.0f} records/s, {own}+{grown:,.0f} MB")


def main() -> None:
    """All sizes, each way in turn."""
    if os.environ.get("WAY"):
        measure(os.environ["WAY"], int(sys.argv[1]))
        return
    ways = ["toolkit", *(["datasets"] if find_spec("datasets") else [])]
    for count in sys.argv[1:] or ["10000", "100000"]:
        for way in ways:
            subprocess.run([sys.executable, __file__, count], env={**os.environ, "WAY": way}, check=True)


if __name__ == "__main__":
    main()
