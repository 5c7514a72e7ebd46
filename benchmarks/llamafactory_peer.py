"""One LoRA training with LLaMA-Factory, for `fine_tuning.py --llamafactory PYTHON`; it imports nothing of ours.

    python -m venv llamafactory-environment
    llamafactory-environment/bin/pip install torch==2.13.0 transformers==5.6.0 peft==0.18.1 accelerate==1.11.0 \
        datasets==4.0.0 trl==0.24.0 torchdata==0.11.0 "av<=16" "tyro<0.9" einops fire hf-transfer matplotlib \
        modelscope omegaconf pandas sentencepiece sse-starlette tiktoken uvicorn fastapi
    llamafactory-environment/bin/pip install --no-deps llamafactory==0.9.5

Its own defaults, but for what all tools are given: rank, learning rate, records a step, loss on answers only.
"""

from __future__ import annotations

import importlib.machinery
import json
import sys
import types
from pathlib import Path
from typing import Any

BATCH = 8


def main() -> None:
    """Read the request (JSON) from the command line, train, and print the figures."""
    request = json.loads(sys.argv[1])
    leave_out_sound()
    work = Path(request["work"])
    arguments = arguments_of(request, work)
    import torch

    torch.set_num_threads(2)
    from llamafactory.train.tuner import run_exp

    run_exp(dict(arguments))
    peak = peak_mb()
    results = json.loads((work / "factory" / "train_results.json").read_text(encoding="utf-8"))
    state = json.loads((work / "factory" / "trainer_state.json").read_text(encoding="utf-8"))
    figures = {
        "seconds": results["train_runtime"],
        "peak_mb": peak,
        "supervised": supervised_tokens(arguments),
        "steps": state["global_step"],
    }
    print("RESULT " + json.dumps(figures))


def leave_out_sound() -> None:
    """LLaMA-Factory imports torchaudio, which a training on text does not use."""
    module = types.ModuleType("torchaudio")
    module.__spec__ = importlib.machinery.ModuleSpec("torchaudio", None)
    sys.modules["torchaudio"] = module


def arguments_of(request: dict[str, Any], work: Path) -> dict[str, Any]:
    """The settings of the run, with the conversations described as LLaMA-Factory wants them."""
    tags = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
    columns = {"messages": "messages"}
    described = {"train": {"file_name": "train.jsonl", "formatting": "sharegpt", "columns": columns, "tags": tags}}
    (work / "dataset_info.json").write_text(json.dumps(described), encoding="utf-8")
    return {
        "stage": "sft",
        "do_train": True,
        "model_name_or_path": str(work / "model"),
        "dataset": "train",
        "dataset_dir": str(work),
        "template": "chatml",
        "cutoff_len": request["most_tokens"],
        "finetuning_type": "lora",
        "lora_rank": request["rank"],
        "lora_alpha": 2 * request["rank"],
        "lora_target": "all",
        "per_device_train_batch_size": BATCH,
        "gradient_accumulation_steps": request["records_per_step"] // BATCH,
        "learning_rate": request["learning_rate"],
        "lr_scheduler_type": "linear",
        "num_train_epochs": 1,
        "seed": request["seed"],
        "use_cpu": True,
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
        "output_dir": str(work / "factory"),
    }


def supervised_tokens(arguments: dict[str, Any]) -> int:
    """Tokens with a label in the records as LLaMA-Factory encodes them."""
    from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
    from llamafactory.hparams import get_train_args
    from llamafactory.model import load_tokenizer

    model_args, data_args, training_args, _, _ = get_train_args(
        {**arguments, "output_dir": arguments["output_dir"] + "-counted"}
    )
    loaded = load_tokenizer(model_args)
    template = get_template_and_fix_tokenizer(loaded["tokenizer"], data_args)
    data = get_dataset(template, model_args, data_args, training_args, stage="sft", **loaded)["train_dataset"]
    return sum(label != -100 for row in data for label in row["labels"])


def peak_mb() -> float:
    """The most memory that this process held at once."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


if __name__ == "__main__":
    main()
