"""New tokens: embeddings grow by their rows, only these are trained, and they go wherever the adapter goes."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from shared_utils.errors import ConfigurationError
from shared_utils.model_utils import load_model, load_tokenizer
from shared_utils.vocabulary import make_room
from tests.training_methods.test_methods import PAIRS, lora, loss_of, qlora, train
from training_methods import FullFineTuner
from training_methods.transfer_learning.fast_step.output_layer import find_output_layer

NEW = ["<|think|>", "<unit>"]


@pytest.fixture(params=[True, False], ids=["tied", "untied"])
def base(request, tiny_model, tmp_path):
    """The tiny model, and one like it whose output layer is a matrix of its own."""
    if request.param:
        return tiny_model
    config = AutoConfig.from_pretrained(tiny_model)
    config.tie_word_embeddings = False
    torch.manual_seed(1)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "untied")
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(tmp_path / "untied")
    return tmp_path / "untied"


def with_unit(tuner, folder, **settings):
    data = tuner.prepare_instruction_dataset(
        [{**pair, "completion": pair["completion"].replace(" pears", " <unit> pears")} for pair in PAIRS], max_length=64
    )
    from tests.training_methods.test_methods import QUIET
    from training_methods.transfer_learning.settings import TrainingSettings

    training = TrainingSettings(
        max_steps=3, learning_rate=1e-2, per_device_train_batch_size=4, gradient_accumulation_steps=1, max_length=64,
        save_steps=3, **settings,
    )  # fmt: skip
    tuner.train(data, folder, training=training, logging=QUIET)
    return data


def logits(model, tuner):
    ids = torch.tensor([[5, *tuner.tokenizer.convert_tokens_to_ids(NEW), 9, 30]])
    with torch.no_grad():
        return model(input_ids=ids).logits


@pytest.mark.parametrize("kind", [lora, qlora])
def test_only_the_rows_of_new_tokens_are_trained_and_they_are_saved_and_merged(base, tmp_path, kind):
    tuner = kind(base, new_tokens=NEW)
    plain = load_model(str(base), "cpu")
    old = plain.get_input_embeddings().weight
    first = tuner.tokenizer.convert_tokens_to_ids(NEW[0])
    assert tuner.tokenizer.convert_tokens_to_ids(NEW) == [len(old), len(old) + 1]
    data = with_unit(tuner, tmp_path / "run")
    assert any(first + 1 in row.input_ids for row in data.rows)

    tuner.save(tmp_path / "saved")
    again = load_model(str(tmp_path / "saved"), "cpu")
    assert load_tokenizer(str(tmp_path / "saved")).convert_tokens_to_ids(NEW) == [first, first + 1]
    if kind is lora:
        assert torch.equal(logits(again, tuner), logits(tuner.model, tuner))
    report = tuner.merge(tmp_path / "merged")
    assert report.max_logit_difference <= 1e-5
    merged = load_model(str(tmp_path / "merged"), "cpu")
    torch.testing.assert_close(logits(merged, tuner), logits(again, tuner), rtol=0, atol=1e-5)
    for table, before in (
        (merged.get_input_embeddings(), old),
        (merged.get_output_embeddings(), plain.get_output_embeddings().weight),
    ):
        assert torch.equal(table.weight[: len(old)], before)
        mean = before.mean(0)
        assert all(not torch.allclose(row, mean, atol=1e-4) for row in table.weight[len(old) + 1 :])
    files = list((tmp_path / "saved").glob("*.safetensors")) + list((tmp_path / "run").glob("*/*.safetensors"))
    assert files
    assert all(file.stat().st_size < old.numel() * 4 for file in files)  # no table of all tokens is written


@pytest.mark.parametrize("kind", [lora, qlora])
def test_the_fast_step_takes_the_loss_with_the_rows_as_they_are_now(base, tmp_path, kind):
    """After training, loss and gradients are those of the model's own logits."""
    tuner = kind(base, new_tokens=NEW)
    data = with_unit(tuner, tmp_path / "run")
    output = find_output_layer(tuner.model)
    assert output is not None
    from training_methods.transfer_learning.fast_step.packing import StepCollator
    from training_methods.transfer_learning.settings import TrainingSettings

    step = tuner.step_for(TrainingSettings(max_length=64), "float32")
    assert step.is_packed
    rows = [{**data[index], "record_index": index} for index in range(3)]
    trained = {name: weight for name, weight in tuner.model.named_parameters() if weight.requires_grad}
    tuner.model.train()
    expected = torch.zeros(())
    for row in rows:
        ids, labels = torch.tensor([row["input_ids"]]), torch.tensor(row["labels"])
        scores = tuner.model(input_ids=ids).logits[0, :-1]
        expected = expected + torch.nn.functional.cross_entropy(scores, labels[1:], reduction="sum")
    expected.backward()
    wanted = {name: weight.grad.clone() for name, weight in trained.items()}
    tuner.model.zero_grad()
    with step.active():
        (records,) = step.passes(StepCollator()(rows))
        with step.keeping_apart(records):
            loss = step.loss(tuner.model, records)
            loss.backward()
    loose = 1e-4 if kind is lora else 2e-2  # products in bfloat16
    torch.testing.assert_close(loss, expected, rtol=loose, atol=1e-4)
    for name, weight in trained.items():
        difference = (weight.grad - wanted[name]).norm() / (wanted[name].norm() + 1e-6)
        assert float(difference) < 5 * loose, name
    assert any("trainable_tokens_delta" in name and wanted[name].any() for name in trained)


def test_a_full_training_grows_the_model(base, tmp_path):
    tuner = FullFineTuner(str(base), device="cpu", new_tokens=NEW)
    old = load_model(str(base), "cpu").get_input_embeddings().weight
    torch.testing.assert_close(tuner.model.get_input_embeddings().weight[-1], old.mean(0), rtol=0, atol=1e-6)
    with_unit(tuner, tmp_path / "run")
    tuner.save(tmp_path / "saved")
    again = load_model(str(tmp_path / "saved"), "cpu")
    assert again.config.vocab_size == len(old) + 2
    assert torch.equal(logits(again, tuner), logits(tuner.model, tuner))


def test_a_template_whose_control_tokens_are_missing_works_once_they_are_added(tiny_model, tmp_path):
    tokens = ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|begin_of_text|>"]
    with pytest.raises(ConfigurationError, match="which .* does not have") as caught:
        lora(tiny_model, chat_template="llama3")
    assert "new_tokens" in caught.value.hint
    tuner = lora(tiny_model, chat_template="llama3", new_tokens=tokens)
    asked = [{"prompt": "Is <|eot_id|> a word?", "completion": "No."}]
    (row,) = tuner.prepare_instruction_dataset(asked, max_length=64).rows
    ids = tuner.tokenizer.convert_tokens_to_ids(tokens)
    # By hand: a start, two headers, and one end for each turn; what the question says stays text.
    assert [row.input_ids.count(token) for token in ids] == [2, 2, 2, 1]
    _, loss = train(tuner, tmp_path / "run")
    tuner.save(tmp_path / "saved")
    assert loss_of(load_model(str(tmp_path / "saved"), "cpu"), tuner) == pytest.approx(loss, abs=1e-5)


def test_a_run_with_new_tokens_is_continued_bit_for_bit(tiny_model, tmp_path):
    whole, resumed = lora(tiny_model, new_tokens=NEW), lora(tiny_model, new_tokens=NEW)
    train(whole, tmp_path / "a", steps=4, save_steps=2)
    train(resumed, tmp_path / "b", steps=4, save_steps=2, resume_from=tmp_path / "a" / "checkpoint-2")
    pairs = zip(whole.model.named_parameters(), resumed.model.named_parameters(), strict=True)
    assert all(torch.equal(one, other) for (_, one), (_, other) in pairs)


def test_making_room_draws_no_random_number_and_leaves_a_large_table_alone(tiny_model):
    model = load_model(str(tiny_model), "cpu")
    state, size = torch.get_rng_state(), model.config.vocab_size
    make_room(model, size)
    assert model.config.vocab_size == size
    make_room(model, size + 3)
    assert model.get_input_embeddings().weight.shape[0] == size + 3
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"modules_to_save": ["lm_head"]}, "new_tokens does not go with modules_to_save"),
        ({"init_lora_weights": "olora"}, "new_tokens does not go with init_lora_weights olora"),
    ],
)
def test_what_new_tokens_do_not_go_with_is_told(tiny_model, settings, message):
    with pytest.raises(ConfigurationError, match=message):
        lora(tiny_model, new_tokens=NEW, **settings)
