"""The sample world: every fact can be found in its document, and nothing of the evaluation is trained on."""

import json
import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pdfplumber
import pytest

from sample_world.samples import DOCUMENTS, load_facts, write_samples

FACTS = load_facts()
PDF = DOCUMENTS / "nebbin_handbook.pdf"


def normalise(question: str) -> str:
    return " ".join(re.sub(r"[^\w\s]", " ", question.casefold()).split())


@cache
def document_text(name: str) -> str:
    path = DOCUMENTS / name
    if path.suffix != ".pdf":
        return path.read_text(encoding="utf-8")
    with pdfplumber.open(path) as pdf:
        return " ".join(" ".join(page.extract_text().split()) for page in pdf.pages)


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def questions_of(record: dict[str, Any]) -> list[str]:
    """What a user says in a training record of any kind."""
    if "messages" in record:
        return [message["content"] for message in record["messages"] if message["role"] == "user"]
    return [record.get("instruction") or record["prompt"]]


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact["key"])
def test_each_answer_stands_in_its_statement_and_each_statement_in_its_document(fact):
    """Who trains on the documents alone must be able to find every answer there."""
    assert fact["answer"] in fact["statement"]
    assert fact["statement"] in document_text(fact["document"])


def test_every_fact_has_enough_questions_and_a_short_answer():
    for fact in FACTS:
        assert 6 <= len(fact["train_questions"]) <= 8
        assert len(fact["evaluation_questions"]) == 2
        assert 1 <= len(fact["answer"].split()) <= 5
    assert len({fact["key"] for fact in FACTS}) == len(FACTS) >= 50


def test_no_evaluation_question_is_trained_on(tmp_path):
    """The score shows what was learnt only when the questions are new."""
    write_samples(tmp_path)
    records = read_jsonl(tmp_path / "train.jsonl") + read_jsonl(tmp_path / "conversations.jsonl")
    # Sorted words, so that the words of a training question in another order count as the same.
    trained = {tuple(sorted(normalise(text).split())) for record in records for text in questions_of(record)}
    asked = [record["prompt"] for record in read_jsonl(tmp_path / "evaluation.jsonl")]
    assert not trained & {tuple(sorted(normalise(text).split())) for text in asked}
    assert len(set(map(normalise, asked))) == len(asked) == 2 * len(FACTS)


def test_no_training_question_is_asked_for_two_facts():
    """Two answers to one question would teach neither."""
    counts = Counter(normalise(question) for fact in FACTS for question in fact["train_questions"])
    assert max(counts.values()) == 1


def test_guessing_the_most_frequent_answer_scores_almost_nothing():
    counts = Counter(normalise(fact["answer"]) for fact in FACTS)
    assert max(counts.values()) / len(FACTS) <= 0.05


def test_the_documents_come_in_three_formats_and_are_long_enough():
    suffixes = Counter(path.suffix for path in DOCUMENTS.iterdir())
    assert suffixes[".pdf"] == 1
    assert suffixes[".md"] >= 3
    assert suffixes[".txt"] >= 3
    assert 2500 <= sum(len(document_text(path.name).split()) for path in DOCUMENTS.iterdir()) <= 5000


def test_the_pdf_has_pages_a_table_running_lines_and_a_title():
    """It stands for the PDFs that people have, so it must have their parts."""
    with pdfplumber.open(PDF) as pdf:
        assert len(pdf.pages) >= 3
        assert pdf.metadata["Title"] == "The Nebbin Handbook"
        assert pdf.metadata["Author"] == "Pell & Daughter"
        tables = [table for page in pdf.pages for table in page.extract_tables()]
        for number, page in enumerate(pdf.pages, start=1):
            lines = page.extract_text().splitlines()
            assert lines[0] == "The Nebbin Handbook Pell & Daughter"
            assert lines[-1] == f"Page {number}"
    assert len(tables) == 1
    assert tables[0][0] == ["Property", "Value", "Remark"]
    assert ["Weight", "2.3 kg", "empty, with lid"] in tables[0]


def test_the_pdf_can_be_set_again_with_identical_bytes(tmp_path):
    """The shipped file belongs to the shipped text."""
    pytest.importorskip("reportlab")
    from scripts.make_sample_pdf import write_handbook

    write_handbook(tmp_path / "again.pdf")
    assert (tmp_path / "again.pdf").read_bytes() == PDF.read_bytes()


def test_two_runs_write_the_same_bytes(tmp_path):
    first = write_samples(tmp_path / "one")
    second = write_samples(tmp_path / "two")
    assert {file.status for file in first + second} == {"written"}
    for one, two in zip(first, second, strict=True):
        assert one.path.read_bytes() == two.path.read_bytes()


def test_the_records_come_in_several_kinds(tmp_path):
    write_samples(tmp_path)
    kinds = Counter(tuple(record) for record in read_jsonl(tmp_path / "train.jsonl"))
    assert set(kinds) == {("instruction", "input", "output"), ("messages",), ("prompt", "completion")}
    assert kinds["instruction", "input", "output"] > sum(kinds.values()) / 2
    for record in read_jsonl(tmp_path / "evaluation.jsonl"):
        assert list(record) == ["id", "prompt", "completion"]


def test_the_conversations_have_several_turns_in_order(tmp_path):
    write_samples(tmp_path)
    records = read_jsonl(tmp_path / "conversations.jsonl")
    assert len(records) >= 8
    for record in records:
        assert list(record) == ["id", "timestamp", "session_id", "messages", "metadata"]
        roles = [message["role"] for message in record["messages"]]
        assert roles == ["user", "assistant"] * (len(roles) // 2)
        assert len(roles) >= 4


def test_a_changed_file_is_kept_unless_overwriting_is_asked_for(tmp_path):
    """A second run must not undo what somebody has edited."""
    write_samples(tmp_path)
    (tmp_path / "config.yaml").write_text("mine\n", encoding="utf-8")
    again = {file.path.name: file.status for file in write_samples(tmp_path)}
    assert again["config.yaml"] == "kept"
    assert again["train.jsonl"] == "unchanged"
    assert (tmp_path / "config.yaml").read_text(encoding="utf-8") == "mine\n"
    replaced = {file.path.name: file.status for file in write_samples(tmp_path, overwrite=True)}
    assert replaced["config.yaml"] == "replaced"
    assert (tmp_path / "config.yaml").read_text(encoding="utf-8") != "mine\n"


def test_the_games_of_snake_come_from_their_script():
    from sample_world.samples import SNAKE_GAMES
    from scripts.make_sample_snake import sample_games

    assert sample_games() == SNAKE_GAMES.read_text(encoding="utf-8")


def test_the_custom_environment_passes_gymnasiums_checker_and_can_be_learnt():
    """Heating below 84 degrees is a simple rule that does far better than chance."""
    from gymnasium.utils.env_checker import check_env

    from sample_world.files.custom_environment import HEAT, WAIT, KettleEnv

    check_env(KettleEnv(), skip_render_check=True)
    env = KettleEnv()

    def mean_return(policy):
        total = 0.0
        for seed in range(20):
            env.action_space.seed(seed)
            observation, _ = env.reset(seed=seed)
            over = False
            while not over:
                observation, reward, terminated, truncated, _ = env.step(policy(observation))
                total, over = total + reward, terminated or truncated
        return total / 20

    by_chance = mean_return(lambda observation: env.action_space.sample())
    by_rule = mean_return(lambda observation: HEAT if observation[0] < 0.84 else WAIT)
    print(by_chance, by_rule)
    assert by_rule > 150
    assert by_chance < 50
