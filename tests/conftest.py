"""What every test shares: the project on the path, a tiny model, and the way commands are called."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import settings

# The same examples on every machine: a gate must not depend on luck. Search with --hypothesis-profile=default.
settings.register_profile("same", derandomize=True, deadline=None)
settings.load_profile("same")

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

LONG_FILES = ("test_readme.py", "test_crash_safety.py", "test_pipeline.py", "test_python_api.py")
SHARED = ROOT.parent / "shared"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared test data is not here")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take minutes: begun last, one process would work alone in the end."""
    items.sort(key=lambda item: LONG_FILES.index(item.path.name) if item.path.name in LONG_FILES else len(LONG_FILES))


@pytest.fixture(autouse=True)
def _usual_log_level() -> Iterator[None]:
    """A command sets the level of the log for its process; the next test must not inherit it."""
    yield
    logging.getLogger().setLevel(logging.WARNING)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama of 0.3 million parameters with the starter's tokenizer: loads and trains in a moment."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from shared_utils.model_utils import load_tokenizer

    folder = tmp_path_factory.mktemp("models") / "tiny"
    tokenizer = load_tokenizer("starter")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def records_file(tmp_path: Path) -> Path:
    """Forty instruction records."""
    path = tmp_path / "records.jsonl"
    rows = [
        {"instruction": f"What is the number of box {number}?", "output": f"It is {number * 7 % 13}."}
        for number in range(40)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def run_command(capsys: pytest.CaptureFixture[str]):
    """Call `main` and get exit code, stdout and stderr."""
    from main import main

    def call(*words: object) -> SimpleNamespace:
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return SimpleNamespace(code=code, out=captured.out, err=captured.err)

    return call
