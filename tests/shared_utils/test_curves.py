"""The picture of a run exists whatever the run recorded."""

import pytest
from PIL import Image

from shared_utils.curves import helps_as_log, points, write_curves

NAN = float("nan")
RUN = [
    {
        "step": step,
        "loss": 4.0 / step,
        "eval_loss": 5.0 / step if step % 5 == 0 else None,
        "learning_rate": 1e-4,
    }
    for step in range(1, 31)
]


@pytest.mark.parametrize(
    "rows",
    [
        RUN,
        [],
        [{"step": 1, "loss": 2.0, "learning_rate": 1e-4}],
        [
            {"step": 1, "loss": NAN},
            {"step": 2, "loss": float("inf")},
            {"step": 3, "loss": 1.0, "eval_loss": NAN},
        ],
        [{"step": 5, "eval_loss": 1.0}, {"epoch": 1}],
        [{"step": 1, "loss": 0.0, "learning_rate": 0.0}, {"step": 2, "loss": 0.0, "learning_rate": 0.0}],
        [{"step": 1, "loss": -1.0}, {"step": 2, "loss": -2.0}],
    ],
    ids=["run", "empty", "one-step", "not-finite", "sparse", "zeros", "negative"],
)
@pytest.mark.filterwarnings("error")
def test_a_picture_is_written_for_any_run(rows, tmp_path):
    write_curves(tmp_path / "new" / "curves.png", rows, "run $1 of <x>_y")
    with Image.open(tmp_path / "new" / "curves.png") as image:
        assert image.size == (1400, 1050)
        assert len(image.convert("L").getcolors()) > 10


def test_an_older_picture_is_replaced_and_nothing_else_is_left(tmp_path):
    target = tmp_path / "curves.png"
    target.write_bytes(b"old")
    write_curves(target, RUN, "run")
    assert target.read_bytes().startswith(b"\x89PNG")
    assert list(tmp_path.iterdir()) == [target]


def test_points_leave_out_what_is_not_a_number():
    rows = [
        {"step": 2, "loss": 1},
        {"step": 1, "loss": NAN},
        {"step": 3, "loss": True},
        {"loss": 1.0},
        {"step": 0, "loss": 3.5},
    ]
    assert points(rows, "loss") == [(0.0, 3.5), (2.0, 1.0)]


@pytest.mark.parametrize(
    ("values", "expected"), [([9.0, 0.1], True), ([3.0, 1.0], False), ([9.0, 0.0], False), ([], False)]
)
def test_a_logarithmic_axis_is_for_positive_values_far_apart(values, expected):
    assert helps_as_log(values) is expected
