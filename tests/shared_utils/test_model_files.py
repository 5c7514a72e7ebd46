"""A model folder that is not whole is refused by name, and no weight is ever made up."""

from __future__ import annotations

import json
import shutil
import struct

import pytest

from shared_utils.errors import DataValidationError
from shared_utils.model_files import read_safetensors_header
from shared_utils.model_names import locate_model
from shared_utils.model_utils import load_model

WEIGHTS = "model.safetensors"


@pytest.fixture
def folder(tiny_model, tmp_path):
    shutil.copytree(tiny_model, tmp_path / "model")
    return tmp_path / "model"


def change_config(folder, **values):
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, **values}), encoding="utf-8")


def rewrite(folder, change):
    path = folder / WEIGHTS
    path.write_bytes(change(path.read_bytes()))


def as_one_part(folder, text):
    (folder / WEIGHTS).rename(folder / "model-00001-of-00002.safetensors")
    (folder / "model.safetensors.index.json").write_text(text, encoding="utf-8")


BROKEN = {
    "cut": (lambda f: rewrite(f, lambda b: b[: len(b) // 2]), r"model.safetensors is damaged: it has [\d,]+ bytes inst"),
    "longer": (lambda f: rewrite(f, lambda b: b + b"x"), "is damaged: it has"),
    "empty": (lambda f: rewrite(f, lambda b: b""), "no header of safetensors"),
    "header beyond the file": (lambda f: rewrite(f, lambda b: struct.pack("<Q", 2**60) + b"{}"), "is damaged"),
    "header is a list": (lambda f: rewrite(f, lambda b: struct.pack("<Q", 2) + b"[]"), "no header of safetensors"),
    "flipped in the header": (lambda f: rewrite(f, lambda b: b.replace(b'"shape"', b'"shbpe"', 1)), "no header of"),
    "a part is missing": (
        lambda f: as_one_part(f, '{"weight_map": {"a": "model-00002-of-00002.safetensors"}}'),
        "model-00002-of-00002.safetensors is missing, a part of the weights",
    ),
    "damaged index": (lambda f: as_one_part(f, "{"), "index.json is damaged"),
    "index is a list": (lambda f: as_one_part(f, "[]"), "index.json is damaged"),
    "another vocabulary": (lambda f: change_config(f, vocab_size=100), "vocab_size is 100, but the weights have 3"),
    "layers below zero": (lambda f: change_config(f, num_hidden_layers=-1), "config.json: num_hidden_layers is -1, but"),
    "half a head": (lambda f: change_config(f, num_attention_heads=0.5), "num_attention_heads is 0.5, but must be"),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), "has no tokenizer"),
}  # fmt: skip


@pytest.mark.parametrize("harm", BROKEN)
def test_what_is_not_whole_is_named_before_a_library_is_loaded(folder, harm):
    spoil, message = BROKEN[harm]
    locate_model(str(folder))
    spoil(folder)
    with pytest.raises(DataValidationError, match=message):
        locate_model(str(folder))


def test_a_cut_adapter_is_named(tiny_model, tmp_path):
    from training_methods import LoRAFineTuner

    LoRAFineTuner(str(tiny_model), device="cpu").save(tmp_path)
    path = tmp_path / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataValidationError, match="adapter_model.safetensors is damaged: it has"):
        locate_model(str(tmp_path))


def test_the_header_tells_every_tensor(folder):
    from safetensors import safe_open

    with safe_open(folder / WEIGHTS, "pt") as file:
        expected = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118  # no dict
    assert {name: entry["shape"] for name, entry in read_safetensors_header(folder / WEIGHTS).items()} == expected


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_hidden_layers": 4}, r"lacks \d+ of the weights .*model\.layers\.2"),
        ({"model_type": "bert"}, r"lacks \d+ of the weights"),
        ({"model_type": "unheard_of"}, "of an architecture that the installed transformers does not know"),
        ({"model_type": "t5"}, "no model that continues a text"),
        ({"hidden_size": "big"}, "cannot be loaded: .*expected int, got str"),
        ({"hidden_size": 33}, "cannot be loaded: .*not a multiple"),
    ],
)
def test_a_configuration_of_another_model_is_refused(folder, values, message):
    """The library fills what is missing with random numbers, and training would go on from them."""
    change_config(folder, **values)
    with pytest.raises(DataValidationError, match=message):
        load_model(str(folder), "cpu")


def test_weights_that_are_not_used_are_told(folder, caplog):
    change_config(folder, num_hidden_layers=1)
    load_model(str(folder), "cpu")
    assert "9 weights are not used by its architecture, for example model.layers.1." in caplog.text


def test_an_adapter_that_lacks_weights_is_refused(tiny_model, tmp_path):
    from safetensors.torch import load_file, save_file

    from training_methods import LoRAFineTuner

    LoRAFineTuner(str(tiny_model), device="cpu").save(tmp_path)
    path = tmp_path / "adapter_model.safetensors"
    weights = load_file(path)
    weights.pop(next(iter(weights)))
    save_file(weights, path)
    with pytest.raises(DataValidationError, match="missing adapter keys"):
        load_model(str(tmp_path), "cpu")


def test_a_tokenizer_with_tokens_that_the_model_lacks_is_refused(folder, run_command, tmp_path):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["Nebbin"])
    tokenizer.save_pretrained(folder)
    rows = [{"prompt": f"What weighs {number}?", "completion": "A Nebbin."} for number in range(4)]
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    result = run_command(
        "train-lora", "--model", folder, "--train-data", tmp_path / "r.jsonl", "--output-dir", tmp_path / "run"
    )
    assert result.code == 1
    assert "gives the token 3072, but the model has only 3072 embeddings" in result.err
