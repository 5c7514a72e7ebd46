"""Learning from preference pairs: exact losses, a reference that stays, and a model that prefers what was chosen."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from shared_utils.errors import ConfigurationError, DataValidationError, TrainingError
from shared_utils.preference_records import to_pair
from shared_utils.prompt_formats import EncodedRecord
from shared_utils.settings import checked
from tests.training_methods.test_fast_step import gradients, model_of
from training_methods.transfer_learning.dataset import DatasetSummary
from training_methods.transfer_learning.fast_step.packing import IGNORED
from training_methods.transfer_learning.fast_step.token_losses import token_losses
from training_methods.transfer_learning.fast_step.training_step import FastStep
from training_methods.transfer_learning.methods import build_tuner
from training_methods.transfer_learning.preferences.losses import pair_losses
from training_methods.transfer_learning.preferences.objective import PreferencePairs
from training_methods.transfer_learning.preferences.pair_dataset import PairDataset, encode_pairs
from training_methods.transfer_learning.preferences.reference import adapter_off, ask_reference
from training_methods.transfer_learning.settings import DPOSettings, InRunEvaluationSettings
from training_methods.transfer_learning.training_arguments import records_of_run

BETA = 0.3


def pairs_of_tokens(vocabulary=97):
    """Pairs with a shared prompt of random tokens and two answers of different lengths."""
    generator = torch.Generator().manual_seed(5)

    def ids(length):
        return torch.randint(0, vocabulary, (length,), generator=generator).tolist()

    rows = []
    for prompt, chosen, rejected in ((4, 3, 7), (1, 9, 1), (6, 2, 2), (3, 5, 8), (2, 1, 4)):
        start = ids(prompt)
        for answer in (ids(chosen), ids(rejected)):
            rows.append(EncodedRecord(start + answer, [IGNORED] * prompt + answer, False))
    names = [f"pair {number}" for number in range(len(rows) // 2)]
    return PairDataset(rows, names, DatasetSummary(len(names), 0, 0, 0))


def slow_gains(model, dataset):
    """One answer at a time, by the model's own logits, with and without the adapter."""

    def log_likelihood(row):
        logits = model(input_ids=torch.tensor([row.input_ids]), use_cache=False).logits[0, :-1].float()
        goals = torch.tensor(row.labels[1:])
        places = (goals != IGNORED).nonzero()[:, 0]
        return logits.log_softmax(-1)[places, goals[places]].sum()

    with torch.no_grad(), model.disable_adapter():
        reference = torch.stack([log_likelihood(row) for row in dataset.rows])
    return (torch.stack([log_likelihood(row) for row in dataset.rows]) - reference).view(-1, 2)


def slow_loss(gains, kind, smoothing, dataset):
    if kind == "ipo":
        tokens = torch.tensor([row.supervised_tokens for row in dataset.rows]).view(-1, 2)
        return ((gains / tokens) @ torch.tensor([1.0, -1.0]) - 1 / (2 * BETA)).pow(2).mean()
    margins = BETA * (gains[:, 0] - gains[:, 1])
    if kind == "hinge":
        return (1 - margins).clamp(min=0).mean()
    goal = torch.full_like(margins, 1 - smoothing)
    return functional.binary_cross_entropy(margins.sigmoid(), goal)


def fast_loss_and_gradients(model, dataset, objective, most_tokens=40, **options):
    step = FastStep(model, most_tokens=most_tokens, most_records=2, pad_token_id=0, rows_together=2, **options)
    objective.prepare(step, dataset)
    model.train()
    batch = objective.collate([dataset[index] for index in range(len(dataset))])
    total = 0.0
    with step.active():
        for records in step.passes(batch):
            with step.keeping_apart(records):
                loss = objective.loss(step, model, records, batch) / objective.count(batch)
                loss.backward()
            total += float(loss.detach())
    return step, total, gradients(model)


@pytest.mark.parametrize(("kind", "smoothing"), [("sigmoid", 0.0), ("sigmoid", 0.2), ("ipo", 0.0), ("hinge", 0.0)])
@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma2"])
def test_loss_and_gradients_are_those_of_one_answer_at_a_time(architecture, kind, smoothing):
    """To 1e-5, relative to the largest gradient; gemma2 takes the way without packing."""
    model, dataset = model_of(architecture, lora=True), pairs_of_tokens()
    gains = slow_gains(model, dataset)
    expected = slow_loss(gains, kind, smoothing, dataset)
    expected.backward()
    expected_gradients = gradients(model)
    objective = PreferencePairs(BETA, kind, smoothing)
    step, total, found = fast_loss_and_gradients(model, dataset, objective)
    assert total == pytest.approx(float(expected.detach()), rel=1e-5)
    assert found.keys() == expected_gradients.keys()
    largest = max(float(each.abs().max()) for each in expected_gradients.values())
    for name, gradient in expected_gradients.items():
        assert torch.allclose(found[name], gradient, rtol=1e-4, atol=1e-5 * largest), name
    assert step.is_packed == (architecture != "gemma2")
    rewards = BETA * gains.detach()
    metrics = objective.take_metrics()
    assert metrics["rewards/chosen"] == pytest.approx(float(rewards[:, 0].mean()), rel=1e-4, abs=1e-5)
    assert metrics["rewards/margins"] == pytest.approx(
        float((rewards[:, 0] - rewards[:, 1]).mean()), rel=1e-4, abs=1e-5
    )
    assert metrics["rewards/accuracies"] == pytest.approx(float((rewards[:, 0] > rewards[:, 1]).float().mean()))
    assert objective.take_metrics() == {}


@pytest.mark.parametrize("packing", [True, False])
@pytest.mark.parametrize("most_tokens", [1, 25, 1000])
def test_the_size_of_the_passes_changes_nothing(packing, most_tokens):
    model, dataset = model_of("llama", lora=True), pairs_of_tokens()
    _, expected, _ = fast_loss_and_gradients(model, dataset, PreferencePairs(BETA))
    _, total, _ = fast_loss_and_gradients(model, dataset, PreferencePairs(BETA), most_tokens, packing=packing)
    assert total == pytest.approx(expected, rel=1e-5)


def test_with_the_adapter_as_it_starts_every_loss_is_that_of_no_opinion():
    """log 2 (Rafailov et al. 2023, equation 7 with equal likelihoods)."""
    model = model_of("llama", lora=True)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.zeros_(weight)
    _, total, _ = fast_loss_and_gradients(model, pairs_of_tokens(), PreferencePairs())
    assert total == pytest.approx(math.log(2), abs=1e-6)


def test_losses_by_hand():
    gains, tokens = torch.tensor([[2.0, -1.0], [0.0, 4.0]]), torch.tensor([[2, 1], [4, 2]])

    def losses(kind, smoothing=0.0):
        return pair_losses(gains, tokens, kind=kind, beta=0.5, label_smoothing=smoothing).tolist()

    right, wrong = math.log(1 + math.exp(-1.5)), math.log(1 + math.exp(2))
    assert losses("sigmoid") == pytest.approx([right, wrong])
    assert losses("sigmoid", 0.25) == pytest.approx(
        [0.75 * right + 0.25 * (right + 1.5), 0.75 * wrong + 0.25 * (wrong - 2)]
    )
    assert losses("hinge") == pytest.approx([0.0, 3.0])
    assert losses("ipo") == pytest.approx([(1 + 1 - 1) ** 2, (0 - 2 - 1) ** 2])


@pytest.mark.parametrize("has_bias", [False, True])
def test_token_losses_have_the_gradients_of_the_whole_logits(has_bias, monkeypatch):
    """Each token with a factor of its own, and in chunks of three."""
    monkeypatch.setattr("training_methods.transfer_learning.fast_step.blocked_softmax.CHUNK_BYTES", 4 * 50 * 3)
    torch.manual_seed(0)
    hidden, weight = torch.randn(10, 6, requires_grad=True), torch.randn(50, 6, requires_grad=True)
    bias = torch.randn(50, requires_grad=True) if has_bias else None
    goals, factors = torch.randint(0, 50, (10,)), torch.randn(10)
    leaves = [each for each in (hidden, weight, bias) if each is not None]
    logits = hidden @ weight.T + (bias if bias is not None else 0)
    whole = functional.cross_entropy(logits, goals, reduction="none")
    expected = torch.autograd.grad((whole * factors).sum(), leaves)
    losses = token_losses(hidden, weight, bias, goals)
    found = torch.autograd.grad((losses * factors).sum(), leaves)
    assert torch.allclose(losses, whole, atol=1e-5)
    assert all(torch.allclose(one, other, atol=1e-5) for one, other in zip(found, expected, strict=True))


def tuner_of(model, **settings):
    training = {"max_length": 64, "learning_rate": 3e-3, "warmup_steps": 0, "packing": settings.pop("packing", True)}
    training |= settings.pop("training", {})
    values = {"model_name": str(model), "lora_r": 8, "training": training, **settings}
    return build_tuner(checked(DPOSettings, values), device="cpu"), checked(DPOSettings, values).training


def polite_pairs(numbers):
    """The answer that says please is always the chosen one, whatever it is about."""
    things = ["kettle", "lamp", "door", "clock", "chair", "garden"]
    return [
        to_pair(
            {
                "prompt": f"What about the {things[number % 6]} in room {number}?",
                "chosen": f"Please look at the {things[number % 6]}.",
                "rejected": f"Go away from the {things[number % 6]}.",
            },
            f"pair {number}",
        )
        for number in numbers
    ]


def test_a_model_learns_to_prefer_what_was_chosen_on_pairs_it_never_saw(tiny_model, tmp_path):
    tuner, training = tuner_of(tiny_model, training={"max_steps": 12, "learning_rate": 1e-2})
    train = tuner.objective.encode(polite_pairs(range(32)), tuner.tokenizer, training)
    held_out = tuner.objective.encode(polite_pairs(range(32, 44)), tuner.tokenizer, training)
    before = tuner.measure(held_out, training, "float32")
    evaluation = InRunEvaluationSettings(generate_samples=False)
    tuner.train(train, tmp_path / "run", eval_dataset=held_out, training=training, evaluation=evaluation)
    after = tuner.measure(held_out, training, "float32")
    assert before["eval_loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert after["eval_loss"] < 0.5
    assert after["eval_rewards/accuracies"] == 1.0
    assert after["eval_preference_accuracy"] >= before["eval_preference_accuracy"]
    with adapter_off(tuner.model):
        again = tuner.measure(held_out, training, "float32")
    assert again["eval_loss"] == pytest.approx(math.log(2), abs=1e-5)  # the base is as it was


def test_answers_alone_are_learnt_each_with_its_end(tiny_model):
    """Neither the prompt nor earlier answers, which both sides share."""
    tuner, training = tuner_of(tiny_model)
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]
    row = {"prompt": [*turns, {"role": "user", "content": "Who?"}], "chosen": "The kettle.", "rejected": "The cat."}
    data = tuner.objective.encode([to_pair(row, "here")], tuner.tokenizer, training)
    learnt = [tuner.tokenizer.decode([label for label in row.labels if label != IGNORED]) for row in data.rows]
    assert learnt == ["The kettle.<|im_end|>", "The cat.<|im_end|>"]
    assert [name for name, _ in data.examples(0)] == ["here, chosen", "here, rejected"]
    assert data.lengths == [sum(len(row.input_ids) for row in data.rows)]


def test_pairs_that_are_too_long_are_left_out_whole_and_counted(tiny_model):
    """An answer that is cut is not the one that was compared."""
    tuner, _ = tuner_of(tiny_model)
    long = to_pair({"prompt": "Q", "chosen": "word " * 80, "rejected": "no"}, "long pair")
    short = to_pair({"prompt": "Q", "chosen": "yes", "rejected": "no"}, "short pair")
    data = encode_pairs([long, short], tuner.tokenizer, max_length=64)
    assert data.record_ids == ["short pair"]
    assert data.summary.dropped == {"more than 64 tokens": 1}
    with pytest.raises(DataValidationError, match="long pair: more than 64 tokens"):
        encode_pairs([long, short], tuner.tokenizer, max_length=64, strict=True)
    with pytest.raises(DataValidationError, match="no pair can be trained on: 1 with more than 64 tokens"):
        encode_pairs([long], tuner.tokenizer, max_length=64)


def test_answers_that_the_template_makes_equal_are_left_out(tiny_model):
    tuner, _ = tuner_of(tiny_model, training={"chat_template": "alpaca"})
    tuner.tokenizer.chat_template = (
        tuner.tokenizer.chat_template.replace("message['content']", "message['content'] | trim")
        .replace('message["content"]', 'message["content"] | trim')
        .replace("message.content", "message.content | trim")
    )
    same = to_pair({"prompt": "Q", "chosen": "yes", "rejected": "yes "}, "same")
    other = to_pair({"prompt": "Q", "chosen": "yes", "rejected": "no"}, "other")
    data = encode_pairs([same, other], tuner.tokenizer, max_length=64)
    assert data.summary.dropped == {"equal answers, as the chat template writes them": 1}


def test_encoded_pairs_and_the_reference_are_kept_and_read_again(tiny_model, tmp_path):
    """The same numbers to the last bit; a damaged file is made anew."""
    pairs = polite_pairs(range(20))
    tuner, training = tuner_of(tiny_model)
    step = tuner.step_for(training, "float32")
    first = encode_pairs(pairs, tuner.tokenizer, max_length=64, cache_dir=tmp_path)
    ask_reference(step, first)
    (kept,) = tmp_path.glob("reference-*.safetensors")

    def again(advance=None):
        data = encode_pairs(pairs, tuner.tokenizer, max_length=64, cache_dir=tmp_path)
        ask_reference(step, data, advance=advance)
        return data

    asked: list[int] = []
    assert torch.equal(again(asked.append).reference, first.reference)
    assert asked == []
    content = kept.read_bytes()
    kept.write_bytes(b"damaged")
    assert torch.equal(again(asked.append).reference, first.reference)
    assert sum(asked) == 20
    assert kept.read_bytes() == content


def test_pairs_that_were_used_with_another_base_are_asked_about_anew(tiny_model):
    """Log-likelihoods of the wrong reference would train without a word."""
    tuner, training = tuner_of(tiny_model)
    data = encode_pairs(polite_pairs(range(4)), tuner.tokenizer, max_length=64)
    tuner.prepare(data, training, "float32")
    first = data.reference.clone()
    with torch.no_grad():
        tuner.model.get_base_model().model.norm.weight.mul_(2)
    tuner.model.config.name_or_path = "another"
    tuner.prepare(data, training, "float32")
    assert not torch.isclose(data.reference, first).any()


def test_a_run_that_ends_early_asks_the_reference_for_what_it_will_see_only(tiny_model):
    tuner, training = tuner_of(tiny_model, training={"max_steps": 2, "gradient_accumulation_steps": 1})
    data = encode_pairs(polite_pairs(range(20)), tuner.tokenizer, max_length=64)
    wanted = records_of_run(len(data), training, seed=1)
    assert len(wanted) == 8
    ask_reference(tuner.step_for(training, "float32"), data, wanted)
    assert (~data.reference.isnan().any(1)).nonzero()[:, 0].tolist() == wanted


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"init_lora_weights": "pissa"}, "changes the base"),
        ({"loss_type": "ipo", "label_smoothing": 0.1}, "label_smoothing goes with loss_type sigmoid, not ipo"),
        ({"training": {"train_on_prompt": True}}, "train_on_prompt does not go with preference pairs"),
        ({"training": {"neftune_noise_alpha": 5}}, "neftune_noise_alpha does not go with preference pairs"),
        ({"beta": 0}, "greater than 0"),
    ],
)
def test_settings_that_would_mean_something_else_are_refused(values, message):
    with pytest.raises(ConfigurationError, match=message):
        checked(DPOSettings, values)


def test_a_loss_that_is_no_number_names_the_pairs(tiny_model, tmp_path):
    tuner, training = tuner_of(tiny_model, training={"max_steps": 2})
    data = tuner.objective.encode(polite_pairs(range(8)), tuner.tokenizer, training)
    with torch.no_grad():
        next(weight for name, weight in tuner.model.named_parameters() if "lora_B" in name).fill_(math.inf)
    with pytest.raises(TrainingError, match=r"the loss became nan at step 1, on the records .*pair \d"):
        tuner.train(data, tmp_path, training=training)


def test_a_held_out_loss_that_is_no_number_stops_the_run(tiny_model, tmp_path):
    tuner, training = tuner_of(tiny_model, training={"max_steps": 2})
    data, held_out = (tuner.objective.encode(polite_pairs(range(8)), tuner.tokenizer, training) for _ in range(2))
    tuner.prepare(held_out, training, "float32")
    held_out.reference.fill_(math.inf)
    with pytest.raises(TrainingError, match="the held-out loss became nan at step 1"):
        tuner.train(data, tmp_path, eval_dataset=held_out, training=training)
    assert not list(tmp_path.glob("checkpoint-*"))
