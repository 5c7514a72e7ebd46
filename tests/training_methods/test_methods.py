"""LoRA variants, QLoRA and full fine-tuning: each setting has its effect, and what is saved is what was learnt."""

from __future__ import annotations

import json
import math

import pytest
import torch
from transformers import AutoModelForCausalLM, Trainer

from shared_utils.batches import Collator
from shared_utils.errors import ConfigurationError, DataValidationError
from shared_utils.model_utils import load_model
from training_methods import FullFineTuner, LoRAFineTuner, QLoRAFineTuner
from training_methods.transfer_learning.dataset import held_out_loss
from training_methods.transfer_learning.settings import LoggingSettings, TrainingSettings

PAIRS = [{"prompt": f"What is in box {number}?", "completion": f"{number} pears."} for number in range(8)]
QUIET = LoggingSettings(use_tensorboard=False)


def train(tuner, folder, steps=3, rate=1e-2, resume_from=None, **settings) -> tuple[Trainer, float]:
    """A short training; the trainer and the loss afterwards."""
    data = tuner.prepare_instruction_dataset(PAIRS, max_length=64)
    training = TrainingSettings(
        max_steps=steps, learning_rate=rate, per_device_train_batch_size=4, gradient_accumulation_steps=1,
        max_length=64, logging_steps=1, **settings,
    )  # fmt: skip
    trainer = tuner.train(data, folder, training=training, logging=QUIET, resume_from=resume_from)
    return trainer, loss_of(tuner.model, tuner)


def loss_of(model, tuner) -> float:
    data = tuner.prepare_instruction_dataset(PAIRS, max_length=64)
    return held_out_loss(model, data, Collator(tuner.tokenizer.pad_token_id), 8)


def lora(model, **settings) -> LoRAFineTuner:
    return LoRAFineTuner(str(model), **{"lora_r": 4, **settings}, lora_dropout=0.0, device="cpu")


def qlora(model, **settings) -> QLoRAFineTuner:
    return QLoRAFineTuner(str(model), lora_r=4, lora_dropout=0.0, device="cpu", **settings)


def trained(tuner) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in tuner.model.named_parameters() if weight.requires_grad}


# ---- variants of LoRA ---------------------------------------------------------------------------------


def test_rslora_scales_by_the_root_of_the_rank(tiny_model):
    def scaling(tuner):
        return next(module.scaling["default"] for module in tuner.model.modules() if hasattr(module, "lora_A"))

    assert scaling(lora(tiny_model)) == 32 / 4
    assert scaling(lora(tiny_model, use_rslora=True)) == 32 / math.sqrt(4)


def test_dora_trains_sizes_beside_directions(tiny_model, tmp_path):
    tuner = lora(tiny_model, use_dora=True)
    before = trained(tuner)
    train(tuner, tmp_path)
    sizes = [name for name in before if "magnitude" in name]
    assert len(sizes) == 14
    after = trained(tuner)
    assert all(not torch.equal(before[name], after[name]) for name in sizes)


@pytest.mark.parametrize("kind", [lora, qlora])
@pytest.mark.parametrize("start", ["gaussian", "pissa", "olora"])
def test_an_adapter_fits_the_unchanged_base_whatever_it_started_from(tiny_model, tmp_path, kind, start):
    """PiSSA and OLoRA take their part out of the base; what is saved must not need that."""
    if kind is qlora and start == "pissa":
        pytest.skip("refused, see below")
    tuner = kind(tiny_model, init_lora_weights=start)
    assert {name: weight for name, weight in trained(tuner).items() if "lora_A" in name} != {}
    plain = loss_of(kind(tiny_model).model, tuner)
    assert loss_of(tuner.model, tuner) == pytest.approx(plain, abs=0.02 if kind is qlora else 1e-4)
    _, loss = train(tuner, tmp_path / "run", rate=1e-3)
    tuner.save(tmp_path / "saved")
    again = loss_of(load_model(str(tmp_path / "saved"), "cpu"), tuner)
    assert again == pytest.approx(loss, abs=0.05 if kind is qlora else 1e-4)
    assert loss < plain - 0.01


def test_pissa_starts_from_the_largest_directions_of_the_weights(tiny_model):
    """B A is the best approximation of rank 4, so the rest of the base is smaller than the base."""
    weight = "layers.0.mlp.up_proj"
    plain = lora(tiny_model).model.get_submodule(f"base_model.model.model.{weight}").base_layer.weight
    rest = lora(tiny_model, init_lora_weights="pissa").model.get_submodule(f"base_model.model.model.{weight}")
    singular = torch.linalg.svdvals(plain.detach())
    assert torch.linalg.svdvals(rest.base_layer.weight.detach())[0] == pytest.approx(float(singular[4]), rel=1e-3)


def test_lora_plus_trains_b_faster_than_a(tiny_model, tmp_path):
    trainer, _ = train(lora(tiny_model, lora_plus_ratio=16), tmp_path, lr_scheduler_type="constant")
    groups = {len(group["params"]): group["lr"] for group in trainer.optimizer.param_groups if group["params"]}
    rates = sorted({group["lr"] for group in trainer.optimizer.param_groups if group["params"]})
    assert rates == pytest.approx([1e-2, 16e-2])
    assert groups


def test_a_module_trained_in_full_is_saved_and_merged_though_it_is_tied(tiny_model, tmp_path):
    tuner = lora(tiny_model, modules_to_save=["lm_head"])
    _, loss = train(tuner, tmp_path / "run")
    report = tuner.merge(tmp_path / "merged")
    assert report.max_loss_difference <= 1e-5
    merged = load_model(str(tmp_path / "merged"), "cpu")
    assert loss_of(merged, tuner) == pytest.approx(loss, abs=1e-4)
    base = load_model(str(tiny_model), "cpu")
    assert not torch.equal(merged.lm_head.weight, base.lm_head.weight)


@pytest.mark.parametrize(
    ("make", "settings", "message"),
    [
        (LoRAFineTuner, {"use_dora": True, "init_lora_weights": "pissa"}, "use_dora does not go with"),
        (LoRAFineTuner, {"init_lora_weights": "olora", "modules_to_save": ["lm_head"]}, "modules_to_save does not go"),
        (QLoRAFineTuner, {"init_lora_weights": "pissa"}, "pissa needs full-precision weights"),
        (QLoRAFineTuner, {"use_dora": True, "load_in_4bit": False}, "use_dora needs load_in_4bit"),
        (LoRAFineTuner, {"init_lora_weights": "pisa"}, "init_lora_weights is 'pisa'"),
        (LoRAFineTuner, {"lora_plus_ratio": 0.5}, "lora_plus_ratio is 0.5"),
        (LoRAFineTuner, {"modules_to_save": ["lmhead"]}, "no module 'lmhead'; it has embed_tokens, lm_head, norm"),
    ],
)
def test_settings_that_cannot_work_are_refused_in_one_line(tiny_model, make, settings, message):
    with pytest.raises(ConfigurationError) as caught:
        make(str(tiny_model), device="cpu", **settings)
    assert message in caught.value.message
    assert "\n" not in caught.value.message


# ---- settings of the training -------------------------------------------------------------------------


def test_neftune_changes_what_is_learnt_and_not_what_is_measured(tiny_model, tmp_path):
    plain, noisy = lora(tiny_model), lora(tiny_model)
    train(plain, tmp_path / "a")
    train(noisy, tmp_path / "b", neftune_noise_alpha=10)
    first, second = trained(plain), trained(noisy)
    assert any(not torch.equal(first[name], second[name]) for name in first)
    assert loss_of(noisy.model, noisy) == loss_of(noisy.model, noisy)


@pytest.mark.parametrize("name", ["adamw_torch_fused", "adamw_8bit", "paged_adamw_8bit", "adafactor", "sgd"])
def test_each_optimizer_learns_with_a_state_of_its_kind(tiny_model, tmp_path, name):
    tuner = lora(tiny_model, lora_r=256)  # smaller matrices keep a state of 32 bits
    before = loss_of(tuner.model, tuner)
    trainer, after = train(tuner, tmp_path, optim=name, rate=1.0 if name == "sgd" else 1e-3)
    assert after < before - 0.001
    # The library wraps the optimizer; its state is what tells the kinds apart.
    state = [value for entry in trainer.optimizer.state.values() for value in entry.values()]
    kinds = {value.dtype for value in state if isinstance(value, torch.Tensor) and value.numel() > 4096}
    assert kinds == {
        "adamw_torch_fused": {torch.float32}, "adamw_8bit": {torch.uint8}, "paged_adamw_8bit": {torch.uint8},
    }.get(name, set())  # fmt: skip


@pytest.mark.parametrize(
    ("name", "rates"),
    [
        # By hand: one step of warm-up from 0, then the schedule over the other three of four.
        ("constant", [1e-2] * 4),
        ("linear", [0, 1e-2, 1e-2 * 2 / 3, 1e-2 / 3]),
        ("cosine", [0, 1e-2, 1e-2 * 0.75, 1e-2 * 0.25]),
    ],
)
def test_the_schedule_is_the_one_that_was_asked_for(tiny_model, tmp_path, name, rates):
    train(lora(tiny_model), tmp_path, steps=4, lr_scheduler_type=name)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["learning_rate"] for row in rows] == pytest.approx(rates, abs=1e-6)


# ---- QLoRA --------------------------------------------------------------------------------------------


def test_the_layers_are_stored_in_four_bits_and_the_memory_tells(tiny_model):
    """By hand: every layer matrix takes half a byte a weight, with scales; embeddings and norms four bytes."""
    tuner = qlora(tiny_model)
    assert tuner.bytes_before_quantization == sum(
        w.numel() * 4 for w in load_model(str(tiny_model), "cpu").parameters()
    )
    matrices = 2 * (4 * 32 * 32 + 3 * 32 * 64)
    saved = tuner.bytes_before_quantization - tuner.bytes_after_quantization
    tables = 14 * (256 + 16) * 4  # of each matrix: what 8-bit scales and 4-bit values stand for
    assert 3.4 * matrices - 1.05 * tables < saved < 3.5 * matrices
    trainable, total = tuner.parameter_counts()
    assert (trainable, total) == lora(tiny_model).parameter_counts()
    assert tuner.memory()["weights"] == tuner.bytes_after_quantization + 4 * trainable
    assert tuner.memory()["optimizer"] == 8 * trainable


def test_an_evaluation_before_training_does_not_stop_the_gradients(tiny_model, tmp_path):
    """bitsandbytes repacks weights at the first evaluation; packed ones pass no gradient on, without an error."""
    plain, evaluated = qlora(tiny_model), qlora(tiny_model)
    before = loss_of(evaluated.model, evaluated)
    evaluated.generate("Hello", 2)
    _, loss = train(plain, tmp_path / "a")
    assert train(evaluated, tmp_path / "b")[1] == loss
    assert loss < before
    untouched = [name for name, weight in trained(evaluated).items() if "lora_B" in name and not weight.any()]
    assert untouched == []


def test_gradients_in_four_bits_are_those_of_the_same_weights_in_full(tiny_model):
    """The quantised matrices, written out in float32, give the same gradients of the adapters."""
    from bitsandbytes.functional import dequantize_4bit

    tuner = qlora(tiny_model, bnb_4bit_compute_dtype="float32")
    plain = lora(tiny_model, lora_alpha=16)
    quantised = dict(tuner.model.named_parameters())
    with torch.no_grad():
        for name, weight in plain.model.named_parameters():
            source = quantised[name]
            state = getattr(source, "quant_state", None)
            weight.copy_(dequantize_4bit(source.data, state) if state is not None else source)
            if "lora_B" in name:
                weight.fill_(0.01)
                source.fill_(0.01)
    ids = torch.tensor([[5, 9, 30, 100, 7]])
    for one in (tuner, plain):
        one.model.train()
        one.model(input_ids=ids, labels=ids).loss.backward()
    for name, weight in plain.model.named_parameters():
        if weight.requires_grad:
            torch.testing.assert_close(quantised[name].grad, weight.grad, rtol=1e-4, atol=1e-6)


def test_a_merge_goes_into_the_full_precision_base_and_tells_both_losses(tiny_model, tmp_path):
    tuner = qlora(tiny_model)
    train(tuner, tmp_path / "run", steps=6)
    report = tuner.merge(tmp_path / "merged")
    assert report.max_loss_difference <= 1e-5
    tuner.save(tmp_path / "adapter")
    with_adapter = loss_of(load_model(str(tmp_path / "adapter"), "cpu"), tuner)
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", trust_remote_code=False)
    assert loss_of(merged, tuner) == pytest.approx(with_adapter, abs=1e-5)
    assert {weight.dtype for weight in merged.parameters()} == {torch.float32}
    assert report.trained_loss == pytest.approx(report.loss, abs=0.2)
    assert report.trained_loss != report.loss


def test_eight_bits_train_too(tiny_model, tmp_path):
    tuner = qlora(tiny_model, load_in_4bit=False)
    before = loss_of(tuner.model, tuner)
    assert train(tuner, tmp_path)[1] < before
    assert tuner.bytes_after_quantization < tuner.bytes_before_quantization


# ---- full fine-tuning ---------------------------------------------------------------------------------


def test_a_fully_tuned_model_is_a_plain_model(tiny_model, tmp_path):
    tuner = FullFineTuner(str(tiny_model), device="cpu")
    assert tuner.parameter_counts()[0] == tuner.parameter_counts()[1]
    before = {name: weight.detach().clone() for name, weight in tuner.model.named_parameters()}
    _, loss = train(tuner, tmp_path / "run", rate=1e-3)
    assert all(not torch.equal(before[name], weight) for name, weight in tuner.model.named_parameters())
    tuner.save(tmp_path / "saved")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "saved", trust_remote_code=False)
    assert loss_of(again, tuner) == loss
    generation = json.loads((tmp_path / "saved" / "generation_config.json").read_text(encoding="utf-8"))
    assert tuner.tokenizer.eos_token_id in generation["eos_token_id"]


# ---- all of them --------------------------------------------------------------------------------------


RESUMED = {
    "qlora": qlora,
    "full": lambda model: FullFineTuner(str(model), device="cpu"),
    "pissa": lambda model: lora(model, init_lora_weights="pissa"),  # its base is made again at the start
}


@pytest.mark.parametrize("make", [pytest.param(make, id=name) for name, make in RESUMED.items()])
def test_a_resumed_run_is_bit_for_bit_one_never_stopped(tiny_model, tmp_path, make):
    whole = make(tiny_model)
    train(whole, tmp_path / "a", steps=4, save_steps=2)
    resumed = make(tiny_model)
    train(resumed, tmp_path / "b", steps=4, save_steps=2, resume_from=tmp_path / "a" / "checkpoint-2")
    one, other = trained(whole), trained(resumed)
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("kind", [lora, qlora, lambda model: FullFineTuner(str(model), device="cpu", seed=3)])
def test_bfloat16_learns_what_float32_learns(tiny_model, tmp_path, kind):
    losses = []
    for precision in ("float32", "bf16"):
        tuner = kind(tiny_model)
        train(tuner, tmp_path / precision, precision=precision)
        losses.append(loss_of(tuner.model, tuner))
    assert losses[1] == pytest.approx(losses[0], rel=2e-2)


@pytest.mark.parametrize("make", [LoRAFineTuner, QLoRAFineTuner, FullFineTuner])
def test_an_adapter_is_no_base(tiny_model, tmp_path, make):
    lora(tiny_model).save(tmp_path / "adapter")
    with pytest.raises(DataValidationError, match="is an adapter of .*tiny, not a model to start from") as caught:
        make(str(tmp_path / "adapter"), device="cpu")
    assert f"--model {tiny_model}" in caught.value.hint


def test_a_device_that_is_absent_is_refused(tiny_model):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(ConfigurationError, match="the device 'cuda' is not available"):
        LoRAFineTuner(str(tiny_model), device="cuda")
