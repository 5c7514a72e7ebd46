"""torch keeps to the threads that the environment allows."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

# Memory that was used holds what a thread that never ran would leave in the result.
PRODUCTS = """
import torch
before = torch.get_num_threads()
import shared_utils.model_utils

wrong = 0
for _ in range(20):
    left, right = torch.randn(6, 192), torch.randn(192, 192)
    used = torch.full((6, 192), float("nan"), dtype=torch.bfloat16)
    del used
    found = left.bfloat16() @ right.bfloat16()
    wrong += not torch.allclose(found.float(), left @ right, atol=2)
print(before, torch.get_num_threads(), wrong)
"""


def threads_and_wrong_products(limit):
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "OMP_THREAD_LIMIT": limit}
    ended = subprocess.run(
        [sys.executable, "-c", PRODUCTS], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return map(int, ended.stdout.split())


def test_torch_has_no_more_threads_than_may_run():
    _, threads, wrong = threads_and_wrong_products("1")
    assert (threads, wrong) == (1, 0)


@pytest.mark.parametrize("limit", ["64", "0", "all", ""])
def test_a_limit_that_limits_nothing_changes_nothing(limit):
    before, threads, wrong = threads_and_wrong_products(limit)
    assert (threads, wrong) == (before, 0)
