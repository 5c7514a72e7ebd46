"""The starter model: small, loadable without a network, reproducible, and ignorant of the sample world."""

import json
import re
from functools import cache
from itertools import islice
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from sample_world.samples import load_facts
from starter_model.build import SEED, STEPS, build_starter
from starter_model.corpus import texts
from starter_model.tokenizer import CHAT_TEMPLATE, write_tokenizer

FILES = Path(__file__).resolve().parents[2] / "starter_model" / "files"
MAXIMUM_BYTES = 7_500_000
# Names that the sample world made up; none may occur in what the starter model learns from.
WORLD_NAMES = [
    "nebbin", "merrowick", "isolde", "pell", "corrie", "tooley", "anselm", "greta", "fenn", "wilf", "asher",
    "barometer", "gannet", "lucan", "thrale", "skarrow", "crooked anchor", "hester", "bligh", "odette", "varley",
    "plum fog", "thimble rain", "sunday drizzle", "ribbon breeze", "attic snow", "mossy morning",
    "lamplight thunder", "small weather festival", "tin lid", "maud", "ellery", "jory", "maddock",
    "weather kettle", "humphrey", "ropewalk",
]  # fmt: skip


@cache
def tokenizer() -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(FILES, local_files_only=True)


@cache
def corpus_text() -> str:
    """Enough of the corpus to meet every sentence pattern, in lower case with single spaces."""
    return " ".join("\n".join(islice(texts(SEED), 20_000)).casefold().split())


def test_the_files_are_small_enough_to_ship():
    names = {path.name for path in FILES.iterdir()}
    assert names == {
        "README.md",
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert sum(path.stat().st_size for path in FILES.iterdir()) <= MAXIMUM_BYTES


def test_the_model_loads_and_answers_without_a_network():
    model = AutoModelForCausalLM.from_pretrained(FILES, local_files_only=True)
    assert model.dtype == torch.bfloat16
    assert model.config.model_type == "llama"
    question = [{"role": "user", "content": "Who are you?"}]
    prompt = tokenizer().apply_chat_template(
        question, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    output = model.float().generate(**prompt, max_new_tokens=30, do_sample=False)
    answer = tokenizer().decode(output[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True)
    assert answer.startswith("I am the starter model")


def test_a_conversation_is_rendered_as_plain_chatml():
    """No default system text: the model sees what the user sends and nothing else."""
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi."},
    ]
    rendered = tokenizer().apply_chat_template(messages, tokenize=False)
    assert rendered == (
        "<|im_start|>system\nBe brief.<|im_end|>\n"
        "<|im_start|>user\nHello<|im_end|>\n"
        "<|im_start|>assistant\nHi.<|im_end|>\n"
    )
    question = tokenizer().apply_chat_template(messages[1:2], tokenize=False, add_generation_prompt=True)
    assert question == "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"


def test_the_chat_template_stands_in_both_places():
    """Some programs read the template file, others the tokenizer's configuration."""
    config = json.loads((FILES / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert config["chat_template"] == CHAT_TEMPLATE
    assert (FILES / "chat_template.jinja").read_text(encoding="utf-8") == CHAT_TEMPLATE


def test_padding_and_end_of_turn_are_different_tokens():
    """Otherwise the end of an answer would be masked together with the padding."""
    model_config = json.loads((FILES / "config.json").read_text(encoding="utf-8"))
    assert tokenizer().pad_token_id == model_config["pad_token_id"] == 0
    assert tokenizer().eos_token == "<|im_end|>"
    assert tokenizer().eos_token_id == model_config["eos_token_id"] != tokenizer().pad_token_id
    assert tokenizer().bos_token is None


@given(st.text())
def test_any_text_survives_encoding_and_decoding(text):
    token_ids = tokenizer()(text, add_special_tokens=True)["input_ids"]
    assert tokenizer().decode(token_ids) == text


def test_digits_stand_alone():
    pieces = tokenizer().tokenize("in 1847, 2.5")
    assert [piece for piece in pieces if piece.isdigit()] == list("184725")


def test_the_tokenizer_can_be_rebuilt_with_identical_bytes(tmp_path):
    write_tokenizer(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert (tmp_path / name).read_bytes() == (FILES / name).read_bytes()


def test_two_builds_give_the_same_bytes(tmp_path):
    """What is shipped can be made again from what is in the repository."""
    for name in ("one", "two"):
        build_starter(tmp_path / name, steps=3, tokens_per_step=256)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    config = (tmp_path / "one" / "config.json").read_bytes()
    assert config == (FILES / "config.json").read_bytes()


def test_the_corpus_knows_nothing_of_the_sample_world():
    """What the tuned model answers, it has learnt from the sample documents."""
    text = corpus_text()
    for name in WORLD_NAMES:
        assert not re.search(rf"\b{name}\b", text), name
    for fact in load_facts():
        assert fact["statement"].casefold() not in text, fact["key"]


def test_no_question_of_the_sample_world_stands_in_the_corpus():
    text = corpus_text()
    questions = [q for fact in load_facts() for q in fact["train_questions"] + fact["evaluation_questions"]]
    # A list of the few, because a failing `not in` would show a difference of megabytes.
    assert [question for question in questions if question.casefold() in text] == []


def test_the_same_seed_gives_the_same_texts_and_another_seed_others():
    assert list(islice(texts(1), 50)) == list(islice(texts(1), 50))
    assert list(islice(texts(1), 50)) != list(islice(texts(2), 50))


@pytest.mark.slow
def test_the_shipped_weights_can_be_made_again(tmp_path):
    """A quarter of an hour; holds on the machine and with the versions that made the files."""
    build_starter(tmp_path, steps=STEPS)
    assert (tmp_path / "model.safetensors").read_bytes() == (FILES / "model.safetensors").read_bytes()
