"""What a GPU would run: the choices as facts, and on the processor whatever can run there."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shared_utils.errors import ConfigurationError
from tests.training_methods.test_fast_step import IGNORED, model_of, records, slow_loss
from training_methods.transfer_learning.fast_step import attention, gpu_attention
from training_methods.transfer_learning.fast_step.gpu_attention import AttentionFacts, choose_kernel
from training_methods.transfer_learning.fast_step.lean_modules import lean_modules
from training_methods.transfer_learning.fast_step.liger_kernels import can_use_liger, undoable
from training_methods.transfer_learning.fast_step.packing import pack
from training_methods.transfer_learning.fast_step.training_step import FastStep
from training_methods.transfer_learning.launch import Launch, current_launch
from training_methods.transfer_learning.models.qlora_model import storage_of
from training_methods.transfer_learning.training_arguments import compiles

HOPPER = {
    "is_cuda": True, "is_half": True, "capability": (9, 0), "head_size": 128, "has_dropout": False,
    "has_varlen": True, "has_flash_attn": False,
}  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "kernel"),
    [
        ({}, "varlen"),
        ({"has_dropout": True}, "masked"),
        ({"has_dropout": True, "has_flash_attn": True}, "flash_attn"),
        ({"has_varlen": False}, "masked"),
        ({"has_varlen": False, "has_flash_attn": True}, "flash_attn"),
        ({"is_half": False}, "masked"),  # FlashAttention knows no float32
        ({"capability": (7, 5)}, "masked"),  # Turing
        ({"head_size": 512}, "masked"),
        ({"head_size": 20}, "masked"),
        ({"is_cuda": False}, "masked"),  # Apple's GPU
    ],
)
def test_the_kernel_follows_from_the_device_and_the_model(facts, kernel):
    assert choose_kernel(AttentionFacts(**{**HOPPER, **facts})) == kernel


@settings(max_examples=20)
@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=5), st.sampled_from([None, 1, 3, 8]), st.sampled_from([1, 2, 4])
)
def test_one_call_with_a_mask_is_one_call_a_record(lengths, window, key_heads):
    """Outputs and gradients, with grouped queries and with a window."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(1, heads, sum(lengths), 8) for heads in (4, key_heads, key_heads)]
    ours = [torch.randn(shape, generator=generator, requires_grad=True) for shape in shapes]
    other = [tensor.detach().clone().requires_grad_() for tensor in ours]
    attention._lengths[:] = lengths
    try:
        expected, _ = attention.packed_attention(torch.nn.Module(), *ours, None, 0.3, sliding_window=window)
    finally:
        attention._lengths.clear()
    found = gpu_attention.attend(*other, tuple(lengths), 0.3, window=window)
    assert torch.allclose(found, expected, atol=1e-6)
    slope = torch.randn(expected.shape, generator=generator)
    expected.backward(slope)
    found.backward(slope)
    for mine, theirs in zip(ours, other, strict=True):
        assert torch.allclose(mine.grad, theirs.grad, atol=1e-5)


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "mistral"])
def test_the_librarys_own_packed_attention_gives_our_losses_and_gradients(architecture):
    """Its block-diagonal mask, made from the positions: what a model falls back to that asks for no attention."""
    rows = records()
    gradients = []
    for implementation in ("sdpa", "ours"):
        model = model_of(architecture)
        step = FastStep(model, most_tokens=100, most_records=8, pad_token_id=0, fuse=False)
        assert step.is_packed
        packed = pack(
            *zip(*[(torch.tensor(row["input_ids"]), torch.tensor(row["labels"])) for row in rows], strict=True)
        )
        with step.active():
            if implementation == "ours":
                with step.keeping_apart(packed):
                    loss = step.loss(model, packed)
            else:
                loss = step.loss(model, packed)
        loss.backward()
        # The last token of a record foretells none, so the losses are those of records on their own.
        assert float(loss.detach()) == pytest.approx(float(slow_loss(model, rows).detach()), rel=1e-5)
        gradients.append({name: weight.grad for name, weight in model.named_parameters()})
    for name, gradient in gradients[0].items():
        assert torch.allclose(gradient, gradients[1][name], atol=1e-5), name


def test_a_change_of_layers_is_taken_back_whole():
    model = model_of("llama")
    before = {name: dict(module.__dict__) for name, module in model.named_modules()}
    defining = __import__("sys").modules[type(model).__module__]
    rotary = defining.apply_rotary_pos_emb

    def change():
        lean_modules(model)
        model.model.norm.variance_epsilon = 1.0
        model.model.norm.added = True
        defining.apply_rotary_pos_emb = None

    undo = undoable(change, model)
    assert "forward" in model.model.layers[0].mlp.__dict__
    model.eval()  # what happens between stays
    undo()
    assert defining.apply_rotary_pos_emb is rotary
    assert not model.training
    for name, module in model.named_modules():
        assert module.__dict__.keys() == before[name].keys()
    assert model.model.norm.variance_epsilon == before["model.norm"]["variance_epsilon"]


@pytest.mark.parametrize(
    "missing", [{"device": "cpu"}, {"is_installed": False}, {"is_known": False}, {"is_whole": False}]
)
def test_liger_needs_all_it_needs(missing):
    facts = {"device": "cuda", "is_installed": True, "is_known": True, "is_whole": True}
    assert can_use_liger(**facts)
    assert not can_use_liger(**{**facts, **missing})


@pytest.mark.parametrize(
    ("setting", "device", "steps", "packing", "expected"),
    [
        ("auto", "cpu", 10**6, False, False),
        ("auto", "cuda", 10**6, False, True),
        ("auto", "cuda", 100, False, False),
        ("auto", "cuda", 10**6, True, False),
        ("on", "cpu", 1, True, True),
        ("off", "cuda", 10**6, False, False),
    ],
)
def test_only_long_runs_of_equal_shapes_on_a_gpu_are_compiled_unasked(setting, device, steps, packing, expected):
    assert compiles(setting, device, steps, packing) is expected


def test_divided_4_bit_weights_are_packed_into_floats():
    assert storage_of("bfloat16", divides_weights=False) == torch.uint8
    assert storage_of("bfloat16", divides_weights=True) == torch.bfloat16
    assert storage_of("float16", divides_weights=True) == torch.float16


def test_where_weights_are_divided_the_model_is_used_as_it_is():
    model, rows = model_of("llama", lora=True), records()
    step = FastStep(model, most_tokens=100, most_records=8, pad_token_id=0, only_plain=Launch("fsdp").note)
    assert step.notes == [Launch("fsdp").note]
    assert not step.is_packed
    assert not step.takes_logits_in_chunks
    with step.active():
        assert all("forward" not in module.__dict__ for module in model.modules())
    assert any(label != IGNORED for label in rows[0]["labels"])


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"ACCELERATE_USE_FSDP": "true", "ACCELERATE_USE_CPU": "true"}, "FSDP needs GPUs"),
        ({"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "1"}, "first version of FSDP"),
        ({"ACCELERATE_USE_DEEPSPEED": "true"}, "deepspeed"),
    ],
)
def test_a_launch_that_cannot_work_is_refused(environment, message, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=message):
        current_launch()
