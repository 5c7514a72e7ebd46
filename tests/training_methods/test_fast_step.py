"""The fast training step gives the loss and the gradients of one record at a time."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from torch.nn import functional
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, LlamaConfig

from training_methods.transfer_learning.fast_step import attention
from training_methods.transfer_learning.fast_step.lora_layers import fuse_lora_layers
from training_methods.transfer_learning.fast_step.packing import IGNORED, PackedRecords, StepCollator, micro_passes
from training_methods.transfer_learning.fast_step.supervised_loss import supervised_loss
from training_methods.transfer_learning.fast_step.training_step import FastStep

VOCABULARY = 97
SHAPE = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
ARCHITECTURES = {
    "llama": {**SHAPE, "num_key_value_heads": 2},
    "qwen2": {**SHAPE, "num_key_value_heads": 2, "tie_word_embeddings": True},
    "mistral": {**SHAPE, "num_key_value_heads": 2, "sliding_window": 6},
    "gemma": {**SHAPE, "num_key_value_heads": 1, "head_dim": 8},
    "gemma2": {**SHAPE, "num_key_value_heads": 2, "head_dim": 8, "sliding_window": 6},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "attn_pdrop": 0.0, "resid_pdrop": 0.0, "embd_pdrop": 0.0},
}


def model_of(architecture: str, lora: bool = False, **options):
    torch.manual_seed(0)
    config = CONFIG_MAPPING[architecture](vocab_size=VOCABULARY, **ARCHITECTURES[architecture])
    model = AutoModelForCausalLM.from_config(config)
    if lora:
        options["fan_in_fan_out"] = architecture == "gpt2"
        model = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", **options))
        for name, weight in model.named_parameters():
            if "lora_B" in name:  # zeros would hide mistakes
                torch.nn.init.normal_(weight, std=0.1)
    return model


def records(lengths=(11, 3, 8, 1, 5)):
    generator = torch.Generator().manual_seed(1)
    rows = []
    for number, length in enumerate(lengths):
        ids = torch.randint(0, VOCABULARY, (length,), generator=generator).tolist()
        labels = [token if place >= length // 3 else IGNORED for place, token in enumerate(ids)]
        rows.append({"input_ids": ids, "labels": labels, "record_index": number})
    return rows


def slow_loss(model, rows):
    """One record at a time, by the model's own logits."""
    total = 0.0
    for row in rows:
        logits = model(input_ids=torch.tensor([row["input_ids"]]), use_cache=False).logits[0, :-1].float()
        goals = torch.tensor(row["labels"][1:], dtype=torch.long)
        total = total + functional.cross_entropy(logits, goals, ignore_index=IGNORED, reduction="sum")
    return total


def gradients(model):
    found = {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}
    model.zero_grad()
    return found


def fast_loss_and_gradients(model, rows, most_tokens=16, **options):
    step = FastStep(model, most_tokens=most_tokens, most_records=3, pad_token_id=0, **options)
    total = 0.0
    model.train()
    with step.active():
        for each in step.passes(StepCollator()(rows)):
            with step.keeping_apart(each):
                loss = step.loss(model, each)
                loss.backward()
            total += float(loss.detach())
    return step, total, gradients(model)


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_loss_and_gradients_are_those_of_one_record_at_a_time(architecture, lora):
    """To 1e-5, relative to the largest gradient of each weight."""
    model, rows = model_of(architecture, lora), records()
    model.train()
    expected = slow_loss(model, rows)
    expected.backward()
    expected_gradients = gradients(model)
    step, total, found = fast_loss_and_gradients(model, rows)
    assert total == pytest.approx(float(expected.detach()), rel=1e-5)
    assert found.keys() == expected_gradients.keys()
    largest = max(float(each.abs().max()) for each in expected_gradients.values())
    for name, gradient in expected_gradients.items():
        assert torch.allclose(found[name], gradient, rtol=1e-4, atol=1e-5 * largest), name
    assert step.is_packed == (architecture != "gemma2")


@pytest.mark.parametrize("architecture", ["llama", "mistral", "qwen2", "gpt2"])
def test_weights_in_float32_are_trained_in_bfloat16_as_well(architecture):
    """Gradients are as near to those of float32 as the library's own are, when products are taken in 16 bits."""
    model, rows = model_of(architecture), records()
    _, total, expected = fast_loss_and_gradients(model, rows)
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        plain = slow_loss(model, rows)
    plain.backward()
    library = gradients(model)
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        _, again, found = fast_loss_and_gradients(model, rows)
    assert again == pytest.approx(total, rel=1e-2)

    def distance(some):
        return sum(float((some[name] - expected[name]).square().sum()) for name in expected) ** 0.5

    assert distance(found) <= 1.5 * distance(library)


@pytest.mark.parametrize("architecture", ["llama", "mistral"])
def test_long_records_take_the_attention_of_the_library(architecture, monkeypatch):
    model, rows = model_of(architecture), records()
    _, total, expected = fast_loss_and_gradients(model, rows)
    monkeypatch.setattr(attention, "LONGEST_EXPLICIT", 4)
    _, again, found = fast_loss_and_gradients(model, rows)
    assert again == pytest.approx(total, rel=1e-6)
    assert all(torch.allclose(found[name], expected[name], atol=1e-4) for name in expected)


def test_what_a_model_does_not_allow_is_left_out_and_named():
    """Gemma 2 caps its logits: they are more than a product."""
    step = FastStep(model_of("gemma2"), most_tokens=16, most_records=3, pad_token_id=0)
    assert not step.is_packed
    assert any("changes its logits" in note for note in step.notes)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_recomputed_layers_keep_records_apart(checkpointing):
    """Gradient checkpointing runs the layers again when the forward pass is over."""
    model, rows = model_of("llama", lora=True), records()
    _, total, expected = fast_loss_and_gradients(model, rows)
    if checkpointing:
        model.enable_input_require_grads()
        model.activation_checkpointing_enable({"use_reentrant": False})
    _, again, found = fast_loss_and_gradients(model, rows)
    assert again == pytest.approx(total, rel=1e-6)
    assert all(torch.allclose(found[name], expected[name], atol=1e-6) for name in expected)


def test_padded_passes_give_the_same(tmp_path):
    model, rows = model_of("llama", lora=True), records()
    _, packed, _ = fast_loss_and_gradients(model, rows)
    step, padded, _ = fast_loss_and_gradients(model, rows, packing=False)
    assert not step.is_packed
    assert padded == pytest.approx(packed, rel=1e-5)


def test_the_size_of_the_passes_changes_nothing():
    model, rows = model_of("llama"), records()
    totals = [fast_loss_and_gradients(model, rows, most_tokens=size)[1] for size in (1, 12, 1000)]
    assert totals == pytest.approx([totals[0]] * 3, rel=1e-5)


def test_the_model_is_as_before_when_the_step_is_over():
    model = model_of("llama", lora=True)
    forwards = [module.forward for module in model.modules()]
    fast_loss_and_gradients(model, records())
    assert [module.forward for module in model.modules()] == forwards
    assert model.get_base_model().config._attn_implementation != attention.NAME


@pytest.mark.parametrize("options", [{"use_dora": True}])
def test_variants_of_lora_keep_their_own_layers(options):
    model = model_of("llama", lora=True, **options)
    before = [module.forward for module in model.modules()]
    restore = fuse_lora_layers(model)
    assert [module.forward for module in model.modules()] == before
    restore()


def test_dropout_drops_for_the_adapter_alone():
    """With everything dropped the adapter adds nothing, and its base still answers."""
    model = model_of("llama", lora=True, lora_dropout=0.5)
    layer = model.get_base_model().model.layers[0].mlp.up_proj
    x = torch.randn(4, 7, 32, requires_grad=True)
    torch.manual_seed(3)
    expected = layer(x)
    expected.square().sum().backward()
    gradient, x.grad = x.grad.clone(), None
    restore = fuse_lora_layers(model)
    torch.manual_seed(3)
    found = layer(x)
    found.square().sum().backward()
    restore()
    assert torch.allclose(found, expected, atol=1e-5)
    assert torch.allclose(x.grad, gradient, atol=1e-4)


@pytest.mark.parametrize("has_bias", [False, True])
def test_the_loss_in_chunks_has_the_gradients_of_the_whole(has_bias, monkeypatch):
    monkeypatch.setattr("training_methods.transfer_learning.fast_step.blocked_softmax.CHUNK_BYTES", 4 * 50 * 3)
    torch.manual_seed(0)
    hidden, weight = torch.randn(10, 6, requires_grad=True), torch.randn(50, 6, requires_grad=True)
    bias = torch.randn(50, requires_grad=True) if has_bias else None
    goals = torch.randint(0, 50, (10,))
    leaves = [each for each in (hidden, weight, bias) if each is not None]
    logits = hidden @ weight.T + (bias if bias is not None else 0)
    expected = torch.autograd.grad(functional.cross_entropy(logits, goals, reduction="sum") * 0.3, leaves)
    loss = supervised_loss(hidden, weight, bias, goals)
    found = torch.autograd.grad(loss * 0.3, leaves)
    assert float(loss.detach()) == pytest.approx(
        float(functional.cross_entropy(logits.detach(), goals, reduction="sum")), rel=1e-6
    )
    assert all(torch.allclose(one, other, atol=1e-5) for one, other in zip(found, expected, strict=True))


@pytest.mark.parametrize("window", [None, 5, 150])
@pytest.mark.parametrize("length", [1, 128, 192, 193, 300])
def test_attention_in_blocks_is_attention(length, window):
    generator = torch.Generator().manual_seed(length)
    query, key, value = (
        torch.randn(1, heads, length, 8, dtype=torch.float64, generator=generator, requires_grad=True)
        for heads in (4, 2, 2)
    )
    places = torch.arange(length)
    distance = places[:, None] - places
    sees = (distance >= 0) & (distance < (window or length))
    expected = functional.scaled_dot_product_attention(query, key, value, attn_mask=sees, enable_gqa=True)
    with attention.records_of_lengths(LlamaConfig(), (length,)):
        found, _ = attention.packed_attention(torch.nn.Identity(), query, key, value, None, sliding_window=window)
    found = found.transpose(1, 2)
    assert torch.allclose(found, expected, atol=1e-12)
    outer = torch.randn(expected.shape, dtype=torch.float64, generator=generator)
    gradients = torch.autograd.grad(found, (query, key, value), outer)
    for one, other in zip(gradients, torch.autograd.grad(expected, (query, key, value), outer), strict=True):
        assert torch.allclose(one, other, atol=1e-12)


@pytest.mark.parametrize("rows_in_cache", [1, 4, 100])
def test_the_loss_is_the_same_however_many_rows_are_worked_on_at_once(rows_in_cache, monkeypatch):
    torch.manual_seed(0)
    hidden, weight = torch.randn(10, 6), torch.randn(50, 6) * 30  # sure of itself: most chances are 0 in float32
    goals = torch.randint(0, 50, (10,))
    expected = functional.cross_entropy(hidden @ weight.T, goals, reduction="sum")
    monkeypatch.setattr("training_methods.transfer_learning.fast_step.blocked_softmax.ROWS_IN_CACHE", rows_in_cache)
    assert float(supervised_loss(hidden, weight, None, goals)) == pytest.approx(float(expected), rel=1e-6)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=12), st.integers(1, 30))
def test_passes_hold_every_record_once_and_are_no_longer_than_allowed(lengths, most_tokens):
    rows = [
        {"input_ids": [number] * length, "labels": [number] * length, "record_index": number}
        for number, length in enumerate(lengths)
    ]
    found: list[tuple[int, int]] = []
    for each in micro_passes(StepCollator()(rows), most_tokens):
        assert isinstance(each, PackedRecords)
        assert sum(each.lengths) <= most_tokens or len(each.lengths) == 1
        for ids, positions, targets in zip(
            each.input_ids[0].split(list(each.lengths)),
            each.position_ids[0].split(list(each.lengths)),
            each.targets[0].split(list(each.lengths)),
            strict=True,
        ):
            found.append((int(ids[0]), len(ids)))
            assert positions.tolist() == list(range(len(ids)))
            assert targets.tolist() == [int(ids[0])] * (len(ids) - 1) + [IGNORED]
    assert sorted(found) == list(enumerate(lengths))
