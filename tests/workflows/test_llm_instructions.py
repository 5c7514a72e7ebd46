"""Pairs written by a language model, asked over HTTP from a server of the test."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from document_processing.settings import InstructionSettings
from shared_utils.errors import ConfigurationError
from shared_utils.llm_client import EndpointError, LLMClient
from workflows.llm_instructions import PairCounts, write_llm_instructions

TEXTS = [f"The {name} lathe turns {number}00 times a minute. It was built in Riga." for number, name in
         enumerate(["red", "blue", "green", "small", "heavy", "quiet"], start=1)]  # fmt: skip


class Server:
    """An OpenAI-compatible endpoint: `answer(text, times asked)` gives status and content, or hangs up with None."""

    def __init__(self, answer: Callable[[str, int], tuple[int, str] | None]) -> None:
        self.asked: Counter[str] = Counter()
        self.bodies: list[dict] = []
        self.headers: list[dict[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.reply(200, {"data": [{"id": "tiny"}]})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                text = next((text for text in TEXTS if text in body["messages"][1]["content"]), "")
                outer.bodies.append(body)
                outer.headers.append(dict(self.headers))
                outer.asked[text] += 1
                found = answer(text, outer.asked[text])
                if found is None:
                    self.close_connection = True
                    return
                status, content = found
                good = {"choices": [{"message": {"role": "assistant", "content": content}}]}
                self.reply(status, good if status == 200 else {"error": {"message": content}})

            def reply(self, status: int, value: object) -> None:
                data = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                try:
                    self.wfile.write(data)
                except OSError:  # the client waits no longer
                    pass

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(answer: Callable[[str, int], tuple[int, str] | None]) -> Server:
        servers.append(Server(answer))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    chunks = [
        {"text": text, "metadata": {"source": "lathes.md", "type": "markdown", "title": "Lathes", "chunk_index": number,
                                    "chunk_count": len(TEXTS), "char_start": 1000 * number, "char_end": 1000 * number + len(text)}}
        for number, text in enumerate(TEXTS)
    ]  # fmt: skip
    (tmp_path / "chunks.jsonl").write_text("".join(json.dumps(chunk) + "\n" for chunk in chunks), encoding="utf-8")
    return tmp_path


def pairs_json(*pairs: tuple[str, str]) -> str:
    return json.dumps({"pairs": [{"question": question, "answer": answer} for question, answer in pairs]})


def good(text: str, _: int) -> tuple[int, str]:
    name, speed = text.split()[1], text.split()[4]
    return 200, pairs_json((f"How fast does the {name} lathe turn?", f"It turns {speed} times a minute."))


def write(folder: Path, server: Server, **options: object) -> PairCounts:
    settings = InstructionSettings(instruction_source="llm", llm_url=server.url, **options)
    return write_llm_instructions(folder, settings, answers=folder / "answers.jsonl", first_pause_seconds=0.01)


def records(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "instructions.jsonl").read_text(encoding="utf-8").splitlines()]


def test_pairs_come_in_the_order_of_the_chunks_and_name_their_span(folder: Path, serve):
    """Although a later chunk may be answered first."""

    def slow_first(text: str, times: int) -> tuple[int, str]:
        time.sleep(0.2 if text == TEXTS[0] else 0)
        return good(text, times)

    counts = write(folder, serve(slow_first))
    assert (counts.pairs, counts.rejects) == (6, Counter())
    assert [pair["metadata"]["chunk_index"] for pair in records(folder)] == [0, 1, 2, 3, 4, 5]
    first = records(folder)[1]
    start, end = (first["metadata"][key] - 1000 for key in ("char_start", "char_end"))
    assert TEXTS[1][start:end] == "The blue lathe turns 200 times a minute."
    assert first["instruction"] == "How fast does the blue lathe turn?"
    assert (first["output"], first["input"]) == ("It turns 200 times a minute.", "")
    assert (first["metadata"]["method"], first["metadata"]["model"], first["metadata"]["source"]) == (
        "llm",
        "tiny",
        "lathes.md",
    )


def test_what_the_text_does_not_bear_out_is_refused_and_counted(folder: Path, serve):
    """By reason, so that a bad model shows."""
    replies = iter([
        pairs_json(("How fast does the red lathe turn?", "It turns 900 times a minute.")),
        pairs_json(("Who built the blue lathe?", "It was built by Anna Kowalska in Riga.")),
        pairs_json(("What does the text say of the lathe?", "It was built in Riga.")),
        pairs_json(("Where was the lathe built?", "It was built in Riga."), ("Where was the lathe built ?!", "In Riga.")),
        "I cannot do that.",
        pairs_json(("", ""), ("What is the capital of Peru?", "Riga."), ("Is the quiet lathe built in Riga?", "Built in Riga.")),
    ])  # fmt: skip
    counts = write(folder, serve(lambda text, times: (200, next(replies))), llm_concurrency=1)
    assert counts.pairs == 1
    assert dict(counts.rejects) == {
        "not_grounded": 2, "about_the_text": 1, "duplicate": 1, "no_json": 1, "empty": 1, "off_topic": 1, "echo": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    "shape",
    [
        "Sure! Here it is:\n```json\n{}\n```\nAnything else?",
        "<think>Is [this] {{hard}}?</think>{}",
        "[{}]",
    ],
)
def test_json_is_found_amid_chatter(folder: Path, serve, shape: str):
    """Many models talk around it."""
    server = serve(lambda text, times: (200, shape.replace("{}", good(text, times)[1])))
    assert write(folder, server).pairs == 6


def test_a_list_that_was_cut_short_gives_its_whole_pairs(folder: Path, serve):
    """The limit of tokens may end a reply anywhere."""
    server = serve(lambda text, times: (200, good(text, times)[1][:-2] + ', {"question": "What el'))
    assert write(folder, server).pairs == 6


def test_a_busy_endpoint_is_asked_again(folder: Path, serve):
    """429 and 503 pass."""
    busy = serve(lambda text, times: good(text, times) if times > 2 else ((429, "slow down"), (503, "busy"))[times - 1])
    counts = write(folder, busy)
    assert (counts.pairs, dict(counts.rejects)) == (6, {})
    assert set(busy.asked.values()) == {3}


def test_an_endpoint_that_knows_no_schema_is_asked_without(folder: Path, serve):
    """`response_format` is not known everywhere."""
    server: Server = serve(
        lambda text, times: (400, "unknown field") if "response_format" in server.bodies[-1] else good(text, times)
    )
    assert write(folder, server, llm_concurrency=1).pairs == 6
    assert ["response_format" in body for body in server.bodies] == [True, *[False] * 6]


def test_a_chunk_that_gets_no_answer_in_time_is_left_out(folder: Path, serve):
    """One that hangs does not hold up the others, and is asked anew by the next run."""

    def hanging(text: str, times: int) -> tuple[int, str]:
        if text == TEXTS[2]:
            time.sleep(0.6)
        return good(text, times)

    counts = write(folder, serve(hanging), llm_timeout_seconds=0.2)
    assert (counts.pairs, dict(counts.rejects)) == (5, {"no_answer": 1})
    assert len((folder / "answers.jsonl").read_text(encoding="utf-8").splitlines()) == 5


def test_a_run_whose_endpoint_died_goes_on_with_what_is_missing(folder: Path, serve):
    """Also when the file of answers ends in half a line."""
    dying = serve(lambda text, times: good(text, times) if text in TEXTS[:3] else None)
    with pytest.raises(EndpointError, match="broke"):
        write(folder, dying, llm_concurrency=1)
    assert not (folder / "instructions.jsonl").exists()
    answers = folder / "answers.jsonl"
    assert len(answers.read_text(encoding="utf-8").splitlines()) == 3
    answers.write_bytes(answers.read_bytes()[:-20])
    alive = serve(good)
    assert write(folder, alive).pairs == 6
    assert set(alive.asked) == set(TEXTS[2:])
    first = (folder / "instructions.jsonl").read_bytes()
    again = serve(good)
    assert write(folder, again).pairs == 6
    assert again.asked == Counter()
    assert (folder / "instructions.jsonl").read_bytes() == first


def test_an_endpoint_that_does_not_answer_is_one_clear_error(folder: Path, serve):
    """It names the address and how to start a server."""
    server = serve(good)
    server.close()
    server.close = lambda: None
    with pytest.raises(EndpointError, match=server.url) as caught:
        write(folder, server)
    assert "lms server start" in caught.value.hint
    assert "ollama serve" in caught.value.hint


@pytest.mark.parametrize(("status", "hint"), [(401, "LLM_API_KEY"), (404, "--llm-model")])
def test_an_endpoint_that_refuses_ends_the_run(folder: Path, serve, status: int, hint: str):
    """Asking for every other chunk would not help."""
    server = serve(lambda text, times: (status, "no"))
    with pytest.raises(EndpointError, match=f"status {status}: no") as caught:
        write(folder, server, llm_concurrency=1)
    assert hint in caught.value.hint
    assert server.asked.total() < len(TEXTS)


def test_the_key_is_sent_but_never_shown(folder: Path, serve, monkeypatch):
    """Not even when the endpoint repeats it in an error."""
    monkeypatch.setenv("LLM_API_KEY", "sk-secret")
    server = serve(lambda text, times: (401, "wrong key sk-secret"))
    with pytest.raises(EndpointError) as caught:
        write(folder, server)
    assert server.headers[0]["Authorization"] == "Bearer sk-secret"
    assert "sk-secret" not in str(caught.value)
    assert "wrong key ***" in str(caught.value)


def test_proxies_of_the_environment_are_not_used(folder: Path, serve, monkeypatch):
    """The text goes to the address that was given and nowhere else."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    assert write(folder, serve(good)).pairs == 6


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1/v1", "127.0.0.1:1234", "http://me:pw@127.0.0.1/v1", "http://h/v1?key=k"]
)
def test_an_address_with_a_password_or_without_a_protocol_is_refused(url: str):
    """It would end up in manifest and logs."""
    with pytest.raises(ConfigurationError, match="llm_url"):
        LLMClient(url)


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    root = tmp_path / "in"
    root.mkdir()
    (root / "lathes.md").write_text("# Lathes\n\n" + "\n\n".join(TEXTS[:2]) + "\n", encoding="utf-8")
    (root / "more.txt").write_text(TEXTS[2] + "\n", encoding="utf-8")
    return root


def test_extract_asks_the_model_and_the_manifest_counts_what_was_refused(
    documents: Path, tmp_path: Path, serve, run_command
):
    """The span counts from the start of the document; a second run asks nothing."""

    def answer(text: str, times: int) -> tuple[int, str]:
        return 200, pairs_json(
            (f"How fast is the lathe of {text.split()[1]} colour?", f"It turns {text.split()[4]} times a minute."),
            ("How heavy is it?", "It weighs 900 tonnes."),
        )

    server, out = serve(answer), tmp_path / "out"
    words = ("extract", documents, out, "--chunk-unit", "words", "--instruction-source", "llm", "--llm-url", server.url)
    done = run_command(*words, "--json")
    assert done.code == 0
    assert json.loads(done.out)["instructions"] == 2
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["instruction_rejects"] == {"not_grounded": 2}
    assert [file["instructions"] for file in manifest["files"]] == [1, 1]
    assert "instructions.jsonl" in manifest["outputs"]
    contents = [
        json.loads(line)["content"] for line in (out / "documents.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    for pair, content in zip(records(out), contents, strict=True):
        span = content[pair["metadata"]["char_start"] : pair["metadata"]["char_end"]]
        assert pair["output"].removeprefix("It turns ") in span
    first = (out / "instructions.jsonl").read_bytes()
    assert run_command(*words).code == 0
    assert server.asked.total() == 2
    assert (out / "instructions.jsonl").read_bytes() == first


def test_without_an_endpoint_the_other_outputs_are_written(documents: Path, tmp_path: Path, run_command):
    """Exit 1 after the chunks are safe; pairs of an earlier run would contradict them and go."""
    out = tmp_path / "out"
    assert run_command("extract", documents, out, "--chunk-unit", "words", "--instruction-format").code == 0
    words = ("--instruction-source", "llm", "--llm-url", "http://127.0.0.1:9/v1")
    done = run_command("extract", documents, out, "--chunk-unit", "words", *words)
    assert done.code == 1
    assert "nothing answers at http://127.0.0.1:9/v1" in done.err
    assert "lms server start" in done.err
    assert len((out / "chunks.jsonl").read_text(encoding="utf-8").splitlines()) == 2
    assert json.loads((out / "manifest.json").read_text(encoding="utf-8"))["ok"] == 2
    assert not (out / "instructions.jsonl").exists()


def test_a_wrong_address_is_told_before_any_file_is_read(documents: Path, tmp_path: Path, run_command):
    """Usage errors end with 2."""
    done = run_command("extract", documents, tmp_path / "out", "--instruction-source", "llm", "--llm-url", "localhost")
    assert done.code == 2
    assert "llm_url" in done.err
    assert not (tmp_path / "out").exists()


def test_an_address_elsewhere_is_warned_of(folder: Path, serve, caplog):
    """Private documents would leave the machine."""
    settings = InstructionSettings(instruction_source="llm", llm_url="http://0.0.0.0:9/v1")
    with pytest.raises(EndpointError):
        write_llm_instructions(folder, settings)
    assert caplog.messages == ["the text of your documents is sent to http://0.0.0.0:9/v1, which is not this machine"]
