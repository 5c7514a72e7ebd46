"""How the records of one optimizer step are divided over the processes of a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch.utils.data import DataLoader, Dataset, Sampler

from training_methods.transfer_learning.fast_step.packing import StepCollator


def divide(lengths: Sequence[int], processes: int) -> list[list[int]]:
    """Which of these records each process takes, so that all have about as many tokens.

    The longest record first, each to the process with the fewest tokens so far (R. L. Graham, Bounds on
    multiprocessing timing anomalies, 1969). With fewer records than processes some get none.

    Returns:
        One list of places in `lengths` for each process, in rising order.
    """
    shares: list[list[int]] = [[] for _ in range(processes)]
    tokens = [0] * processes
    for place in sorted(range(len(lengths)), key=lambda each: (-lengths[each], each)):
        least = min(range(processes), key=tokens.__getitem__)
        shares[least].append(place)
        tokens[least] += lengths[place]
    return [sorted(share) for share in shares]


class StepShares(Sampler[list[int]]):
    """The records of one process, step by step; all processes together take those of the plain order.

    Args:
        order: the records of an epoch in the order in which they are trained on.
        lengths: tokens of each record.
        step_size: records of one optimizer step, over all processes.
        processes, index: how many processes there are, and which of them this is.
    """

    def __init__(self, order: Sampler[int], lengths: Sequence[int], step_size: int, processes: int, index: int) -> None:
        self._order, self._lengths, self._step_size = order, lengths, step_size
        self._processes, self._index = processes, index

    def __len__(self) -> int:
        return -(-len(self._lengths) // self._step_size)

    def __iter__(self) -> Iterator[list[int]]:
        order = list(self._order)
        for start in range(0, len(order), self._step_size):
            step = order[start : start + self._step_size]
            share = divide([self._lengths[record] for record in step], self._processes)[self._index]
            yield [step[place] for place in share]


def share_loader(
    dataset: Dataset[dict[str, object]], shares: StepShares, device: object, pin_memory: bool
) -> DataLoader[dict[str, object]]:
    """Batches of this process, ready for the library's loop, which must not divide them again."""
    from accelerate.data_loader import prepare_data_loader

    loader = DataLoader(dataset, batch_sampler=shares, collate_fn=StepCollator(), pin_memory=pin_memory)
    ready: DataLoader[dict[str, object]] = prepare_data_loader(
        loader, device, num_processes=1, process_index=0, put_on_device=True
    )
    return ready
