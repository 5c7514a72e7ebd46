"""The game as a picture, in a GIF and in the terminal."""

from __future__ import annotations

import io
import re
from itertools import pairwise

from PIL import Image

from snake_game import picture
from snake_game.game import Game
from snake_game.heuristics import make_heuristic
from snake_game.matches import replay
from snake_game.picture import save_gif
from snake_game.terminal import TerminalBoard, coloured_board


def played(size=6, seed="a"):
    game, player, directions = Game(size, seed), make_heuristic("bfs"), []
    while not game.end:
        directions.append(player.choose(game).direction)
        game.step(directions[-1])
    return game, directions


def test_a_gif_shows_every_step_and_the_last_one_longer(tmp_path):
    game, directions = played()
    count = save_gif(
        tmp_path / "game.gif", lambda: replay(6, "a", directions), len(directions), lambda game: f"step {game.steps}"
    )
    with Image.open(tmp_path / "game.gif") as image:
        assert image.n_frames == count == game.steps + 1
        assert image.info["loop"] == 0
        durations = []
        for number in range(count):
            image.seek(number)
            durations.append(image.info["duration"])
    assert durations == [100] * game.steps + [2000]
    assert [path.name for path in tmp_path.iterdir()] == ["game.gif"]


def test_of_a_long_game_not_every_step_is_shown_but_the_last_one_is(tmp_path, monkeypatch):
    monkeypatch.setattr(picture, "MOST_FRAMES", 10)
    _, directions = played()
    shown = []

    def caption(game):
        shown.append(game.steps)
        return str(game.steps)

    count = save_gif(tmp_path / "game.gif", lambda: replay(6, "a", directions), len(directions), caption)
    frames = shown[2:]  # the first two calls are for the palette
    assert count == len(frames) <= 11
    assert frames[-1] == len(directions)
    assert len({after - before for before, after in pairwise(frames[:-1])}) == 1


def test_a_replay_is_the_game_again():
    game, directions = played()
    *_, last = replay(6, "a", directions)
    assert (list(last.body), last.score, last.end) == (list(game.body), game.score, game.end)


def test_the_coloured_board_has_the_cells_of_the_game():
    game, _ = played()
    lines = [re.sub("\x1b\\[[0-9;]*m", "", line) for line in coloured_board(game).splitlines()]
    assert len(lines) == game.size + 2
    assert {len(line) for line in lines} == {2 * game.size + 2}
    assert sum(line.count("()") for line in lines) == 1
    assert sum(line.count(" ·") for line in lines) == game.cells - len(game.body) - 1


def test_the_terminal_draws_each_step_over_the_one_before():
    out = io.StringIO()
    game = Game(4, 1)
    terminal = TerminalBoard(delay=0, use_colours=False, out=out)
    terminal.show(game, "first", "evil \x1b[2J")
    game.step(0)
    terminal.show(game, "second")
    text = out.getvalue()
    assert text.count("\x1b[6F") == 1  # four rows and two lines of text
    assert "evil \\x1b[2J" in text
    assert "\x1b[2J" not in text
    assert text.endswith("second\x1b[K\n\x1b[J")
