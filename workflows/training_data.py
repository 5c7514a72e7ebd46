"""The records of a training run: how sources are mixed, and what is told about them before it starts."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shared_utils.console import Console
from shared_utils.data_loader import LoadedRecords, RecordReader, Rejected, load_records, usable_record
from shared_utils.errors import ConfigurationError, DataValidationError
from shared_utils.records import Record


@dataclass(frozen=True)
class Source:
    """What was taken from one of the given files or folders."""

    name: str
    records: int
    rejected: int
    taken: int


def load_mixture(
    paths: Sequence[str],
    weights: Sequence[float] | None,
    max_samples: int | None,
    seed: int,
    read: RecordReader = usable_record,
) -> tuple[LoadedRecords, list[Source]]:
    """The records of several sources, in their order, in the proportions of `weights`.

    No record is taken twice: the mixture is as large as its scarcest source allows. Which ones are taken
    depends on the seed alone.

    Args:
        paths: files or folders.
        weights: one proportion for each of them; None takes all records.
        max_samples: at most so many of each.
        seed: start of the drawing.
        read: one record of a file in its normal form.

    Raises:
        ConfigurationError: there is not one weight for each source, or none is above 0.
        DataValidationError: a source cannot be read, or one with a weight holds no usable record.
    """
    if weights is not None and len(weights) != len(paths):
        raise ConfigurationError(
            f"--weights has {len(weights)} numbers for {len(paths)} sources", hint="give one for each --train-data"
        )
    loaded = [load_records([path], read) for path in paths]
    counts = [min(len(one.records), max_samples or len(one.records)) for one in loaded]
    taken = counts if weights is None else _in_proportion(paths, counts, weights)
    records: list[Record] = []
    for number, (one, count) in enumerate(zip(loaded, taken, strict=True)):
        chosen = random.Random(f"{seed} {number}").sample(range(len(one.records)), count)
        records += [one.records[index] for index in sorted(chosen)]
    merged = LoadedRecords(
        records,
        [rejected for one in loaded for rejected in one.rejected],
        {name: digest for one in loaded for name, digest in one.fingerprints.items()},
    )
    sources = [
        Source(path, len(one.records), len(one.rejected), count)
        for path, one, count in zip(paths, loaded, taken, strict=True)
    ]
    return merged, sources


def tell_sources(console: Console, sources: Sequence[Source]) -> None:
    """One line for each source, where there are several or not all is taken."""
    if len(sources) == 1 and sources[0].taken == sources[0].records:
        return
    total = max(1, sum(source.taken for source in sources))
    width = max(len(source.name) for source in sources)
    console.info(f"{'source':<{width}}  {'usable':>9}  {'taken':>9}  share  left out")
    for one in sources:
        share = one.taken / total
        console.info(f"{one.name:<{width}}  {one.records:>9,}  {one.taken:>9,}  {share:>5.0%}  {one.rejected:>8,}")


def tell_records(console: Console, rejected: Sequence[Rejected], held_out: int, train: Any, max_length: int) -> None:
    """How much is learnt from, and what is cut or left out for which reason."""
    summary = train.summary
    console.info(
        f"{summary.records} records to train on, {held_out} held out; {summary.tokens:,} tokens, "
        f"{summary.supervised_share:.0%} of them with loss"
    )
    if summary.truncated:
        console.info(f"cut at {max_length} tokens (--max-length): {summary.truncated} of {summary.records} records")
    if summary.rewritten:
        console.info(
            f"{summary.rewritten} conversations are {len(train)} rows with the others: the chat template writes "
            "earlier turns differently later on, so each answer is learnt as the model sees it when it answers"
        )
    reasons: dict[str, list[str]] = {reason: [] for reason in summary.dropped}
    for one in rejected:
        reasons.setdefault(one.reason, []).append(one.where)
    for reason, places in reasons.items():
        count = len(places) + summary.dropped.get(reason, 0)
        console.info(f"left out: {count} with {reason}" + (f", first at {places[0]}" if places else ""))


def tell_memory(console: Console, plan: Any) -> None:
    """The memory that the run needs by part, and what to change where it does not fit."""
    for name, size in plan.parts.items():
        console.info(f"  {name:<12} {size / 1e6:>10,.0f} MB")
    console.info(f"memory: about {plan.total / 1e6:,.0f} MB of {plan.available / 1e6:,.0f} MB that are free")
    if plan.fits:
        return
    size = plan.batch_size_that_fits()
    if size:
        factor = -(-plan.batch_size // size)
        advice = f"--batch-size {size} and {factor} times as many --gradient-accumulation-steps"
    else:
        advice = f"--gradient-checkpointing, --max-length {max(8, plan.longest // 2)} or a smaller --model"
    console.warn(f"this run may need more memory than there is; it should fit with {advice}")


def show_examples(console: Console, tokenizer: Any, dataset: Any, count: int) -> None:
    """Print the first rows as the model sees them, with what it learns in colour, or in ⟦brackets⟧ without colours.

    They go to stdout, or to stderr where stdout is kept for JSON.
    """
    import sys

    from rich.console import Console as RichConsole
    from rich.text import Text

    from shared_utils.console import printable

    out = RichConsole(file=sys.stderr if console.json_output else sys.stdout, highlight=False, soft_wrap=True)
    has_colours = out.is_terminal and not out.no_color
    for number in range(min(count, len(dataset))):
        for name, row in dataset.examples(number):
            cut = ", cut" if row.truncated else ""
            out.print(Text(f"--- {name}: {len(row.input_ids)} tokens, {row.supervised_tokens} learnt{cut}"))
            shown = Text()
            for text, is_learnt in _stretches(tokenizer, row):
                clean = printable(text)
                if has_colours:
                    shown.append(clean, style="bold green" if is_learnt else "dim")
                else:
                    shown.append(f"⟦{clean}⟧" if is_learnt else clean)
            out.print(shown)


def _stretches(tokenizer: Any, row: Any) -> list[tuple[str, bool]]:
    """The row as text, cut where supervision begins or ends; special tokens are written out."""
    stretches: list[tuple[str, bool]] = []
    start = 0
    learnt = [label >= 0 for label in row.labels]
    for end in range(1, len(learnt) + 1):
        if end == len(learnt) or learnt[end] != learnt[start]:
            text = tokenizer.decode(row.input_ids[start:end], clean_up_tokenization_spaces=False)
            stretches.append((str(text), learnt[start]))
            start = end
    return stretches


def _in_proportion(paths: Sequence[str], counts: Sequence[int], weights: Sequence[float]) -> list[int]:
    if any(weight < 0 for weight in weights) or not any(weights):
        raise ConfigurationError("--weights must be 0 or more, and one above 0", hint="for example --weights 3 1")
    for path, count, weight in zip(paths, counts, weights, strict=True):
        if weight and not count:
            raise DataValidationError(f"no usable record in {path}", hint="see docs/data-format.md for the kinds")
    scale = min(count / weight for count, weight in zip(counts, weights, strict=True) if weight)
    # Rounding up a little first: 0.1 of 30 is 3.0000000000000004 in floating point, or 2.9999999999999996.
    return [
        min(count, max(int(weight * scale + 1e-9), 1 if weight else 0))
        for count, weight in zip(counts, weights, strict=True)
    ]
