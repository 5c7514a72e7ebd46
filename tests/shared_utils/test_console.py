"""What is printed cannot steer the terminal, and goes where it belongs."""

from __future__ import annotations

from shared_utils.console import Console, printable


def test_terminal_escapes_and_direction_marks_become_visible():
    assert printable("a\x1b[2Jb\u202ec\x07\r") == "a\\x1b[2Jb\\u202ec\\x07\\r"
    assert printable("Grüße, 你好\n\tперо 👩\u200d🔧") == "Grüße, 你好\n\tперо 👩\u200d🔧"


def test_results_go_to_stdout_and_make_room_for_json(capsys):
    Console().info("result")
    Console(json_output=True).info("told aside")
    Console(quiet=True).info("never")
    Console(quiet=True).warn("always")
    captured = capsys.readouterr()
    assert captured.out == "result\n"
    assert captured.err == "told aside\nwarning: always\n"


def test_progress_without_a_terminal_is_a_plain_line_now_and_then(capsys, monkeypatch):
    monkeypatch.setattr("shared_utils.console.PLAIN_SECONDS_BETWEEN_LINES", 0.0)
    monkeypatch.setattr("shared_utils.console.PLAIN_SECONDS_TO_FIRST_LINE", 0.0)
    with Console().progress(3, "reading") as progress:
        progress.advance(note="a.pdf")
        progress.move_to(3)
    assert capsys.readouterr().err == "reading: 1/3 a.pdf\nreading: 3/3\n"


def test_a_plain_line_tells_failures_rate_and_time_left(capsys, monkeypatch):
    """As the bar does."""
    now = [0.0]
    monkeypatch.setattr("shared_utils.console.time.monotonic", lambda: now[0])
    with Console().progress(400, "reading") as progress:
        now[0] = 180.0
        progress.advance(120, "a.pdf", failed=6)
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1] == "reading: 120/400 (6 failed, 40/min, 7:00 left of 10:00) a.pdf"


def test_what_an_earlier_run_did_says_nothing_about_the_pace(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("shared_utils.console.time.monotonic", lambda: now[0])
    with Console().progress(1100, "training") as progress:
        progress.go_on_from(1000)
        now[0] = 3900.0
        progress.move_to(1010, "loss 2.100")
    assert capsys.readouterr().err == "training: 1010/1100 (0.154/min, 9:45:00 left of 10:50:00) loss 2.100\n"


def test_the_first_line_comes_soon_and_the_others_now_and_then(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("shared_utils.console.time.monotonic", lambda: now[0])
    with Console().progress(100, "training") as progress:
        for second in range(1, 31):
            now[0] = float(second)
            progress.advance()
    assert [line.split("/")[0] for line in capsys.readouterr().err.splitlines()] == [
        "training: 4", "training: 14", "training: 24",
    ]  # fmt: skip
