"""The promised names are there, cost nothing before they are used, and the page about them runs as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import import_module

import pytest

from tests.conftest import ROOT, SHARED, needs_shared

PAGE = ROOT / "docs" / "python-api.md"

# package -> name -> methods that were promised by name
NAMES = {
    "document_processing": {
        "PDFParser": ["parse"], "MarkdownParser": ["parse"], "TextParser": ["parse"],
        "LMStudioConverter": ["convert"], "sanitize_text_input": [],
    },
    "training_methods": {
        "LoRAFineTuner": ["prepare_dataset", "prepare_instruction_dataset", "train", "merge", "generate", "memory"],
        "QLoRAFineTuner": ["prepare_dataset", "prepare_instruction_dataset", "train", "merge", "generate", "memory"],
        "FullFineTuner": ["prepare_dataset", "prepare_instruction_dataset", "train", "generate", "memory"],
        "LLMTrainer": ["train", "save", "generate"],
        "TrainingConfigBuilder": [
            "with_strategy", "with_model", "with_lora", "with_qlora", "with_training", "with_output", "build",
        ],
        "ConfigurationTemplate": ["quick_lora", "production_lora", "memory_efficient_qlora", "research_config"],
        "PPOAgent": ["select_action", "store_transition", "update", "save", "load", "ActorCritic"],
        "DQNAgent": ["select_action", "store_transition", "update", "save", "load", "DuelingDQNNetwork"],
    },
    "shared_utils": {
        "DataLoaderFactory": ["create_instruction_dataloader"], "MemoryEfficientDataLoader": ["load_in_chunks"],
        "MetricsLogger": ["log_metrics"], "TrainingMetrics": [], "OptimizedTrainer": ["training_step"],
        "TrainingLoggingUtils": [], "PathUtils": [],
    },
    "shared_utils.errors": {
        "LLMToolkitError": [], "DocumentProcessingError": [], "TrainingError": [], "ConfigurationError": [],
        "DataValidationError": [], "SecurityError": [],
    },
    "shared_utils.file_utils": {"validate_file_path": []},
    "conversation_data": {"ConversationLogger": ["log_conversation", "get_conversation_stats"]},
    "workflows": {
        "parallel_document_processing": [], "process_single_file": [], "safe_parse_document": [],
        "MultiDatasetConfig": [], "MultiDatasetPipeline": ["run_pipeline"], "DatasetDirectoryManager": [],
    },
    "deployment": {"ChatInterface": ["generate", "chat"], "ModelRegistry": ["add", "use", "tag", "remove"]},
    "commands": {"TrainingCLIUtils": []},
    "snake_game": {"Game": ["step", "legal_moves"], "make_heuristic": []},
}  # fmt: skip
# Built with their own subjects: the conversation store, evaluation, export.
LATER = {
    "ConversationDataHandler", "DataCleaner", "DataExporter", "TrainingDataFormatter", "TokenizerUtils", "DatasetBuilder",
    "EvaluationSuite", "ModelComparator", "ONNXConverter", "Deployer", "Switcher",
}  # fmt: skip
ALSO_CALLED = {"Registry": "ModelRegistry"}


@pytest.mark.parametrize("package", NAMES)
def test_every_promised_name_is_importable_with_its_methods(package):
    module = import_module(package)
    for name, methods in NAMES[package].items():
        found = getattr(module, name)
        assert [method for method in methods if not callable(getattr(found, method, None))] == [], name


@needs_shared
def test_no_promised_name_is_forgotten():
    """Every name of the list that users were given is there, or is known to belong to a later subject."""
    text = (SHARED / "spec" / "features.md").read_text(encoding="utf-8")
    listed = text.split("## Names that must be importable")[1].split("\n## ")[0]
    names = set(re.findall(r"\b(?:[A-Z]\w*[a-z]\w*|[a-z]+(?:_[a-z]+)+)\b", listed)) - {"Model"}
    known = {name for promised in NAMES.values() for name in promised}
    known |= {method for promised in NAMES.values() for methods in promised.values() for method in methods}
    methods_of_later = {"evaluate_multiple_models", "compare_training_strategies", "get_batch", "filter_conversations"}
    methods_of_later |= {"export_all_formats", "create_training_pairs", "build_dataset"}
    assert names - known - LATER - methods_of_later - set(ALSO_CALLED) == set()
    assert names >= LATER


@pytest.mark.parametrize(
    "package", ["shared_utils", "training_methods", "workflows", "deployment", "conversation_data", "snake_game"]
)
def test_importing_a_package_loads_nothing_heavy_and_lists_its_names(package):
    code = (
        f"import sys, {package} as package\n"
        "print([n for n in ('torch', 'transformers', 'pydantic', 'numpy', 'wandb') if n in sys.modules])\n"
        "print(sorted(package.__all__) == package.__all__, package.__all__ and callable(package.__getattr__))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "True True"]


def test_a_name_that_is_not_there_is_an_attribute_error():
    import shared_utils

    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        shared_utils.Nothing  # noqa: B018


def test_the_page_runs_as_it_stands(tmp_path):
    """Its commands and pieces in their order, in one program."""
    blocks = re.findall(r"```(bash|python)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 8
    program = ["import subprocess, sys"]
    for kind, text in blocks:
        if kind == "bash":
            words = [text.split()[1:] for text in text.splitlines()]
            program += [
                f"subprocess.run([sys.executable, {str(ROOT)!r} + '/' + {w[0]!r}, *{w[1:]}], check=True)" for w in words
            ]
        else:
            program.append(text)
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-W", "error::FutureWarning", "-c", "\n".join(program)],
        cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "registry" / "games.json").is_file()
    assert (tmp_path / "outputs" / "small" / "model.safetensors").is_file()
