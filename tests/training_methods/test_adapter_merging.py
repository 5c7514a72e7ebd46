"""A merged model answers like base and adapter, or nothing is written."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from shared_utils.errors import ConfigurationError, DataValidationError, TrainingError
from shared_utils.model_utils import load_model
from tests.evaluation.tiny_model import save_tiny_adapter, save_tiny_model
from training_methods.transfer_learning.adapter_merging import MAX_LOGIT_DIFFERENCE, MAX_LOSS_DIFFERENCE, merge_adapter

OPTIONS = {"trust_remote_code": False, "local_files_only": True}

# peft 0.21 asks transformers 5 for a property by its old name; goes when peft has the new one.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    base = save_tiny_model(root / "base")
    return base, save_tiny_adapter(root / "adapter", base)


@pytest.fixture
def adapter(folders):
    return folders[1]


def logits_of(model):
    with torch.no_grad():
        return model(torch.tensor([[5, 9, 30, 100, 7]])).logits[0]


def test_the_merged_model_is_a_plain_model_with_the_adapters_answers(folders, tmp_path):
    base, adapter = folders
    report = merge_adapter(adapter, tmp_path / "merged", device="cpu")
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", **OPTIONS).eval()
    difference = (logits_of(merged) - logits_of(load_model(str(adapter), "cpu"))).abs().max()
    assert float(difference) <= MAX_LOGIT_DIFFERENCE
    assert report.max_logit_difference <= MAX_LOGIT_DIFFERENCE
    assert report.max_loss_difference <= MAX_LOSS_DIFFERENCE
    assert report.parameters == sum(weight.numel() for weight in merged.parameters())
    assert (logits_of(merged) - logits_of(load_model(str(base), "cpu"))).abs().max() > 0.1


def test_the_folder_holds_all_that_other_programs_look_for(adapter, tmp_path):
    """transformers reads the template from its own file; older readers only from the configuration."""
    merge_adapter(adapter, tmp_path / "merged", device="cpu")
    names = {path.name for path in (tmp_path / "merged").iterdir()}
    assert {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "generation_config.json",
        "README.md",
    } <= names
    assert not [name for name in names if name.endswith((".bin", ".pt"))]
    assert not [name for name in names if name.startswith("adapter")]
    template = (tmp_path / "merged" / "chat_template.jinja").read_text(encoding="utf-8")
    config = json.loads((tmp_path / "merged" / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert config["chat_template"] == template == AutoTokenizer.from_pretrained(adapter, **OPTIONS).chat_template
    generation = json.loads((tmp_path / "merged" / "generation_config.json").read_text(encoding="utf-8"))
    assert generation["eos_token_id"] == [2]


def test_an_older_merged_folder_is_replaced_in_full(adapter, tmp_path):
    target = tmp_path / "merged"
    save_tiny_model(target)
    (target / "model-00001-of-00002.safetensors").write_bytes(b"stale")
    merge_adapter(adapter, target, device="cpu")
    assert not (target / "model-00001-of-00002.safetensors").exists()
    assert list(tmp_path.iterdir()) == [target]


def test_a_merge_that_changed_the_answers_is_refused_and_keeps_what_was_there(adapter, tmp_path, monkeypatch):
    """The check reads the written files; here their weights are changed between writing and reading."""
    target = tmp_path / "merged"
    save_tiny_model(target)
    before = (target / "model.safetensors").read_bytes()

    def load_changed(name, device, dtype):
        path = tmp_path / name / "model.safetensors"
        if path.exists():
            weights = load_file(path)
            weights["lm_head.weight"][7] += 0.01
            save_file(weights, path, metadata={"format": "pt"})
        return load_model(name, device, dtype)

    monkeypatch.setattr("training_methods.transfer_learning.adapter_merging.load_model", load_changed)
    with pytest.raises(TrainingError, match="answers unlike base and adapter: logits differ by"):
        merge_adapter(adapter, target, device="cpu")
    assert (target / "model.safetensors").read_bytes() == before
    assert list(tmp_path.iterdir()) == [target]


def test_weights_that_are_not_numbers_are_refused(folders, tmp_path):
    base, _ = folders
    adapter = save_tiny_adapter(tmp_path / "adapter", base)
    weights = load_file(adapter / "adapter_model.safetensors")
    save_file(
        {name: tensor * float("nan") for name, tensor in weights.items()},
        adapter / "adapter_model.safetensors",
    )
    with pytest.raises(TrainingError, match="not numbers"):
        merge_adapter(adapter, tmp_path / "merged", device="cpu")
    assert not (tmp_path / "merged").exists()


def test_a_folder_without_an_adapter_is_told(folders, tmp_path):
    with pytest.raises(DataValidationError, match="is no adapter"):
        merge_adapter(folders[0], tmp_path / "merged")


def test_a_merge_without_a_check_is_not_made(adapter, tmp_path):
    with pytest.raises(DataValidationError, match="texts to be checked"):
        merge_adapter(adapter, tmp_path / "merged", check_texts=["  "])


def test_a_folder_of_other_files_is_never_replaced(adapter, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="other files than a model"):
        merge_adapter(adapter, tmp_path)
    assert (tmp_path / "thesis.txt").exists()


def test_the_adapter_is_not_replaced_by_its_own_merge(adapter):
    with pytest.raises(ConfigurationError, match="holds the adapter"):
        merge_adapter(adapter, adapter)
    with pytest.raises(ConfigurationError, match="holds the adapter"):
        merge_adapter(adapter, adapter.parent)
    assert (adapter / "adapter_model.safetensors").exists()
