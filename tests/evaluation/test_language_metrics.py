"""Exact answers in every script, and figures that do not depend on how examples are batched."""

import math

import pytest
import torch

from evaluation.language_metrics import (
    exact_match,
    generate_answers,
    generate_token_ids,
    normalise_answer,
    perplexity,
    token_nll,
)
from shared_utils.model_utils import stop_token_ids
from shared_utils.prompt_formats import EncodedRecord, encode_prompt, encode_record
from tests.evaluation.tiny_model import qa_record, tiny_model, tiny_tokenizer

QUESTIONS = [
    "Hi?",
    "Where is the office, and when does it open?",
    "2+2",
    "Привет, как дела?",
    "你好吗？",
    "x" * 90,
    "Why?",
]


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


@pytest.mark.parametrize(
    ("prediction", "reference"),
    [
        ("The  Blue house!", "blue house"),
        ("  Straße.\n", "STRASSE"),
        ("„Москва“, — сказал он", "москва сказал он"),
        ("北京大学。", "北京大学"),
        ("我 喜欢 iPhone 手机！", "我喜欢iPhone手机"),
        ("ＡＢＣ１２３", "abc123"),
        ("1,200", "1200"),
        ("5 – 7", "5 7"),
        ("3–5", "3-5"),
        ("`pip install`", "pip install"),
        ("don’t", "don't"),
        ("A", "a"),
        ("?!", " ?! "),
    ],
)
def test_answers_that_say_the_same_match(prediction, reference):
    assert exact_match(prediction, reference) == 1.0


@pytest.mark.parametrize(
    ("prediction", "reference"),
    [
        ("3.5", "35"),
        ("-5", "5"),
        ("C++", "C"),
        ("vitamin a", "vitamin"),
        ("", "the answer"),
        ("?", "!"),
        ("", "?"),
        ("北京", "北京大学"),
        ("а", ""),
        ("blue", "blue house"),
    ],
)
def test_answers_that_say_something_else_do_not_match(prediction, reference):
    assert exact_match(prediction, reference) == 0.0


def test_normalising_twice_changes_nothing_more():
    for text in ("The a an the", "İstanbul ﬁne ①", "a  b, c; 1,234.5!", "北 京 abc"):
        assert normalise_answer(normalise_answer(text)) == normalise_answer(text)


def encoded_examples(tokenizer):
    pairs = [("Hi?", "Yes."), ("Why is that so?", "Because it is so, and it was so before."), ("2+2", "4")]
    examples = [encode_record(tokenizer, qa_record(*pair), 128) for pair in pairs]
    return [*examples, EncodedRecord([5, 6, 7], [-100, -100, -100], True), EncodedRecord([], [], False)]


def test_likelihood_does_not_depend_on_batch_size_padding_or_order(model, tokenizer):
    """What made one model's perplexity 1.28 or 1.45 elsewhere: means of batches, and padding that counts."""
    examples = encoded_examples(tokenizer)
    alone, tokens = token_nll(model, examples, batch_size=1)
    for size in (2, 3, 16):
        together, counted = token_nll(model, examples, batch_size=size)
        assert together == pytest.approx(alone, abs=1e-5)
        assert counted == tokens
    backwards, _ = token_nll(model, examples[::-1], batch_size=16)
    assert backwards[::-1] == pytest.approx(alone, abs=1e-5)
    assert perplexity(together, tokens) == pytest.approx(perplexity(alone, tokens), rel=1e-5)


def test_likelihood_agrees_with_a_plain_sum_over_tokens(model, tokenizer):
    """Second way: one forward pass a record, log-softmax, one token after another."""
    examples = encoded_examples(tokenizer)[:3]
    sums, tokens = token_nll(model, examples)
    for example, found, count in zip(examples, sums, tokens, strict=True):
        with torch.no_grad():
            log_p = torch.log_softmax(model(torch.tensor([example.input_ids])).logits[0].double(), dim=-1)
        pairs = [(i, label) for i, label in enumerate(example.labels) if label != -100 and i > 0]
        assert found == pytest.approx(-sum(float(log_p[i - 1, label]) for i, label in pairs), abs=1e-4)
        assert count == len(pairs)


def test_an_example_without_supervised_tokens_counts_nothing(model, tokenizer):
    sums, tokens = token_nll(model, encoded_examples(tokenizer))
    assert (sums[3:], tokens[3:]) == ([0.0, 0.0], [0, 0])


def test_a_batch_is_split_when_its_logits_would_take_too_much_memory(model, tokenizer, monkeypatch):
    examples = encoded_examples(tokenizer)
    expected, _ = token_nll(model, examples, batch_size=16)
    monkeypatch.setattr("evaluation.language_metrics._MAX_LOGITS", 259 * 80)
    assert token_nll(model, examples, batch_size=16)[0] == pytest.approx(expected, abs=1e-5)


def test_perplexity_is_the_exponential_of_the_mean_over_tokens():
    assert perplexity([2.0, 0.0], [1, 9]) == pytest.approx(math.exp(0.2))


def questions(texts=QUESTIONS):
    return [[{"role": "user", "content": text}] for text in texts]


def plain_greedy(model, tokenizer, messages, max_new_tokens):
    """Second way: the whole text again for every token, no cache, no padding."""
    ids = encode_prompt(tokenizer, messages)
    new = []
    for _ in range(max_new_tokens):
        with torch.no_grad():
            token = int(model(torch.tensor([ids + new])).logits[0, -1].argmax())
        if token in stop_token_ids(tokenizer):
            break
        new.append(token)
    return new


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_batched_answers_are_those_of_a_plain_loop_in_the_order_asked(model, tokenizer, batch_size):
    ids = generate_token_ids(model, tokenizer, questions(), 24, batch_size)
    assert ids == [plain_greedy(model, tokenizer, prompt, 24) for prompt in questions()]
    assert len({tuple(row) for row in ids}) > 1


def test_sampling_and_penalties_that_a_model_brings_along_are_not_used(tokenizer):
    """Published instruction models keep such values in generation_config.json."""
    model = tiny_model()
    expected = generate_token_ids(model, tokenizer, questions(), 24)
    model.generation_config.update(do_sample=True, temperature=0.7, top_k=20, repetition_penalty=1.8, num_beams=3)
    assert generate_token_ids(model, tokenizer, questions(), 24) == expected


class StopsAfterThree(torch.nn.Module):
    """Makes the likeliest token the end of turn once the answer has three tokens."""

    def __init__(self, prompt_tokens, stop_id):
        super().__init__()
        self.prompt_tokens, self.stop_id = prompt_tokens, stop_id

    def __call__(self, input_ids, scores):
        if input_ids.shape[1] >= self.prompt_tokens + 3:
            scores[:, self.stop_id] = scores.max() + 10
        return scores


def test_answers_stop_at_the_end_of_turn_and_show_no_special_tokens(tokenizer, monkeypatch):
    model = tiny_model()
    prompt = questions(["Hi?"])
    length = len(encode_prompt(tokenizer, prompt[0]))
    plain = model.generate
    stopping = StopsAfterThree(length, tokenizer.convert_tokens_to_ids("<|im_end|>"))
    monkeypatch.setattr(model, "generate", lambda **options: plain(**options, logits_processor=[stopping]))
    (ids,) = generate_token_ids(model, tokenizer, prompt, 24)
    assert len(ids) == 3
    (text,) = generate_answers(model, tokenizer, prompt, 24)
    assert "<|im_end|>" not in text


def test_the_tokenizer_is_left_as_it_was(model, tokenizer):
    tokenizer.padding_side = "right"
    generate_answers(model, tokenizer, questions(), 2)
    assert tokenizer.padding_side == "right"


def test_a_prompt_longer_than_the_context_is_cut_at_its_beginning():
    """Positions beyond the context would give noise, or an error with learned positions."""
    tokenizer, model = tiny_tokenizer(), tiny_model(context=64)
    ids = generate_token_ids(model, tokenizer, questions(["y" * 200, "Hi?"]), 40)
    assert len(ids[0]) <= 32
    assert ids[1] == plain_greedy(model, tokenizer, questions(["Hi?"])[0], 40)


def test_progress_reaches_the_number_of_questions(model, tokenizer):
    class Counting:
        done = 0

        def advance(self, steps=1, note=""):
            self.done += steps

    progress = Counting()
    generate_answers(model, tokenizer, questions(), 2, 3, progress)
    assert progress.done == len(QUESTIONS)
