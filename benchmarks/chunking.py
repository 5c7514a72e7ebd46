"""How fast text is cut into chunks: ours beside two well-known splitters, in characters and in tokens.

    python benchmarks/chunking.py [--megabytes 2] [--runs 5]

The text is made here: the sample documents, and sentences in six languages. Runs alternate (ours, peer, peer,
ours, ...), CPU time is measured, medians and ratios are printed. Peers are no requirements of the toolkit;
one that is not installed is left out, with the command that installs it. They cut elsewhere than we do:
the last columns tell how many of their chunks end at the end of a sentence, and how full the chunks are.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from document_processing.chunking import split_text  # noqa: E402
from document_processing.length_counters import STARTER_TOKENIZER, LengthCounter, length_counter  # noqa: E402
from document_processing.sentences import sentence_spans  # noqa: E402

SIZES = {"characters": 2000, "tokens": 512}
SENTENCES = {
    "english": ("The {} was found by Dr. Fenn in room {}.", "It weighs {} kilograms, e.g. as much as {} hens."),
    "german": ("Am {}. Oktober wurde die Nr. {} geprüft.", "Das kostet z. B. {} Euro, ca. {} weniger als früher."),
    "russian": ("В {} г. завод выпустил {} станков.", "Это, т. е. около {} тонн, увезли за {} дней."),
    "chinese": ("第{}号机器在{}年完成。", "它重{}公斤，比以前轻了{}公斤。"),
    "japanese": ("機械は{}年に{}台作られた。", "「もう{}回です。」と{}人が言った。"),
    "thai": ("เครื่องที่ {} ถูกสร้างใน ปี {} ", "มันหนัก {} กิโลกรัม และ สูง {} เมตร "),
}

Splitter = Callable[[str], list[str]]


def make_text(language: str, megabytes: float) -> str:
    """Paragraphs of seven sentences, with a list and a code block now and then."""
    if language == "documents":
        paths = sorted((ROOT / "sample_world" / "files" / "documents").glob("*.*"))
        text = "\n\n".join(path.read_text(encoding="utf-8") for path in paths if path.suffix in (".md", ".txt"))
        return (text + "\n\n") * max(1, round(megabytes * 1e6 / len(text.encode())))
    chance = random.Random(language)
    parts: list[str] = []
    size = 0
    while size < megabytes * 1e6:
        joint = "" if language in ("chinese", "japanese") else " "
        forms = chance.choices(SENTENCES[language], k=7)
        part = joint.join(form.format(chance.randrange(2, 31), chance.randrange(1000, 2000)) for form in forms)
        if chance.random() < 0.1:
            part += "\n\n- " + "\n- ".join(forms) + "\n\n```\nx = 1. + y\n```"
        parts.append(part)
        size += len(part.encode()) + 2
    return "\n\n".join(parts)


def ours(unit: str) -> Splitter:
    """The toolkit's own chunks."""
    counter = length_counter(unit)
    return lambda text: [text[start:end] for start, end, _ in split_text(text, counter, SIZES[unit], 0)]


def langchain(unit: str) -> Splitter:
    """RecursiveCharacterTextSplitter: at paragraphs, else lines, else spaces."""
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    count = len if unit == "characters" else length_counter(unit).count
    splitter = RecursiveCharacterTextSplitter(chunk_size=SIZES[unit], chunk_overlap=0, length_function=count)
    return splitter.split_text


def semantic_text_splitter(unit: str) -> Splitter:
    """TextSplitter, written in Rust: at paragraphs, sentences, words of the Unicode rules."""
    from semantic_text_splitter import TextSplitter

    if unit == "characters":
        return lambda text: list(TextSplitter(SIZES[unit]).chunks(text))
    from tokenizers import Tokenizer

    splitter = TextSplitter.from_huggingface_tokenizer(Tokenizer.from_file(str(STARTER_TOKENIZER)), SIZES[unit])
    return lambda text: list(splitter.chunks(text))


PEERS = {"langchain-text-splitters": langchain, "semantic-text-splitter": semantic_text_splitter}


def seconds_of(splitter: Splitter, text: str) -> tuple[float, list[str]]:
    """CPU seconds of one run, and its chunks."""
    started = time.process_time()
    chunks = splitter(text)
    return time.process_time() - started, chunks


def quality(chunks: list[str], text: str, counter: LengthCounter, size: int) -> str:
    """Share of chunks that end where a sentence does, and the mean share of the limit that is used."""
    ends = {text[max(0, span.end - 40) : span.end].strip()[-20:] for span in sentence_spans(text)}
    at_end = sum(chunk.strip()[-20:] in ends for chunk in chunks) / len(chunks)
    full = statistics.fmean(counter.count_many(chunks)) / size
    return f"{at_end:4.0%} end at a sentence, {full:4.0%} full, {len(chunks)} chunks"


def compare(language: str, unit: str, splitters: dict[str, Splitter], megabytes: float, runs: int) -> None:
    """Print one line a splitter."""
    text = make_text(language, megabytes)
    size = len(text.encode()) / 1e6
    seconds: dict[str, list[float]] = {name: [] for name in splitters}
    told: dict[str, str] = {}
    for run in range(runs + 1):  # the first round warms up and is not counted
        for name in list(splitters) if run % 2 else reversed(list(splitters)):
            taken, chunks = seconds_of(splitters[name], text)
            seconds[name].append(taken)
            if name not in told:
                told[name] = quality(chunks, text, length_counter(unit), SIZES[unit])
    medians = {name: statistics.median(values[1:]) for name, values in seconds.items()}
    for name, median in medians.items():
        ratio = median / medians["ours"]
        print(f"{unit:10} {language:9} {name:24} {size / median:7.2f} MB/s  {ratio:6.2f} x our time   {told[name]}")


def main() -> int:
    """Measure every language in both units."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=float, default=1.0, help="of each text")
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    for unit in SIZES:
        splitters = {"ours": ours(unit)}
        for name, make in PEERS.items():
            try:
                splitters[name] = make(unit)
            except ImportError:
                print(f"{name} is not installed and left out: pip install {name}")
        for language in ("documents", *SENTENCES):
            compare(language, unit, splitters, arguments.megabytes, arguments.runs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
