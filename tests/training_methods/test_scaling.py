"""The arithmetic of several devices is the published one, and the page shows what the code computes."""

import pytest

from scripts.write_generated import ROOT, scaling_page
from training_methods.transfer_learning.scaling import (
    SHAPES,
    all_reduce_bytes,
    loading_bytes,
    state_bytes,
    step_bytes,
)


@pytest.mark.parametrize(
    ("shape", "parameters"),
    list(zip(SHAPES, [1_235_814_400, 6_738_415_616, 13_015_864_320, 68_976_648_192], strict=True)),
)
def test_the_shapes_have_the_published_numbers_of_parameters(shape, parameters):
    """Of Llama 3.2 1B and Llama 2 7B, 13B and 70B."""
    assert shape.parameters == parameters


def test_full_training_takes_sixteen_bytes_a_parameter_and_zero_divides_them():
    """Rajbhandari et al. 2020, figure 1, for float32: 4 + 4 + 8."""
    shape = SHAPES[1]
    whole = state_bytes(shape, "full", "copies", 8)
    assert whole == 16 * shape.parameters
    assert state_bytes(shape, "full", "zero1", 8) == (8 + 8 / 8) * shape.parameters
    assert state_bytes(shape, "full", "zero2", 8) == (4 + 12 / 8) * shape.parameters
    assert state_bytes(shape, "full", "fsdp", 8) == whole / 8 + 2 * 2 * shape.layer


def test_adapters_of_rank_16_on_a_7b_model():
    assert SHAPES[1].adapter(16) == 39_976_960  # what peft counts for all-linear
    assert loading_bytes(SHAPES[1], "lora") == 4 * SHAPES[1].parameters


def test_a_ring_sends_nearly_twice_the_gradients():
    assert all_reduce_bytes(100, 1) == 0
    assert all_reduce_bytes(100, 2) == 100
    assert all_reduce_bytes(100, 8) == 175
    assert step_bytes(SHAPES[1], "lora", "copies", 2, passes=9) == 4 * SHAPES[1].adapter(
        16
    )  # once, however many passes


def test_the_page_shows_these_tables():
    assert (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8") == scaling_page()
