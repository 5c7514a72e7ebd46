"""One thread for small networks: the others would cost more to wake than they can do.

Measured on two cores: a product of 64 x 256 by 256 x 256 takes 0.1 ms of CPU time with one thread of OpenBLAS, and
9 ms with two. Results depend on the number of threads in their last bits, so it is part of what makes runs repeat.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from typing import Any

import torch
from threadpoolctl import ThreadpoolController


@contextmanager
def few_threads(threads: int = 1) -> Iterator[None]:
    """numpy computes with one thread, torch with so many, for the length of the `with` block."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with numpy_on_one_thread():
            yield
    finally:
        torch.set_num_threads(before)


def numpy_on_one_thread() -> AbstractContextManager[object]:
    """numpy computes with one thread for the length of the `with` block; costs 5 microseconds."""
    context: AbstractContextManager[object] = _libraries().limit(limits=1)
    return context


@cache
def _libraries() -> Any:
    return ThreadpoolController().select(user_api="blas")
