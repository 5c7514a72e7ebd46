"""The game as a picture, and a whole game as an animated GIF."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from shared_utils.file_utils import atomic_binary_writer
from snake_game.game import NO_APPLE, Game

WIDTH = 320  # pixels, about
CAPTION_HEIGHT = 28
MARGIN = 8
SHARPNESS = 3  # drawn so many times larger and made smaller, which smooths the edges
MOST_FRAMES = 1500  # of a GIF; of a longer game every second, third ... step is shown
LAST_FRAME_SECONDS = 2.0
COLOURS = 64

Colour = tuple[int, int, int]
BACKGROUND: Colour = (24, 28, 36)
FIELD: tuple[Colour, Colour] = ((38, 45, 56), (43, 51, 63))
HEAD_COLOUR: Colour = (140, 220, 104)
# The stripes belong to the cells: between two frames of a GIF only head and tail change, which makes it small.
BODY_COLOURS: tuple[Colour, Colour] = ((74, 160, 84), (88, 178, 94))
APPLE_COLOUR: Colour = (231, 76, 60)
LEAF_COLOUR: Colour = (156, 204, 101)
TEXT_COLOUR: Colour = (222, 226, 232)
EYE_COLOUR: Colour = (18, 24, 20)


def draw_game(game: Game, caption: str = "") -> Image.Image:
    """The board with a line of text below it; without a caption the score."""
    cell = _cell_pixels(game.size)
    scale = SHARPNESS
    image = _empty_board(game.size).copy()
    draw = ImageDraw.Draw(image)

    def centre(place: int) -> tuple[float, float]:
        row, column = game.place(place)
        return scale * (MARGIN + (column + 0.5) * cell), scale * (MARGIN + (row + 0.5) * cell)

    if game.apple != NO_APPLE:
        _draw_apple(draw, centre(game.apple), scale * cell)
    stripes = [sum(game.place(place)) % 2 for place in game.body]
    _draw_snake(draw, [centre(place) for place in game.body], stripes, scale * cell)
    _draw_eyes(draw, centre(game.body[-1]), game.direction, scale * cell)
    image = image.reduce(scale)
    text = caption or f"score {game.score}"
    place = (MARGIN, image.height - CAPTION_HEIGHT + 5)
    ImageDraw.Draw(image).text(place, text, fill=TEXT_COLOUR, font=_font())
    return image


def save_gif(
    path: Path,
    replay: Callable[[], Iterable[Game]],
    steps: int,
    caption: Callable[[Game], str],
    seconds_a_step: float = 0.1,
) -> int:
    """Write a game as an animated GIF in one move.

    Args:
        path: where it goes.
        replay: gives the game anew at its start and after each of its steps.
        steps: how many steps it has.
        caption: the text below the board.
        seconds_a_step: how long a step is shown.

    Returns:
        The number of frames.
    """
    every = -(-(steps + 1) // MOST_FRAMES)
    shown = [step for step in range(steps + 1) if step % every == 0 or step == steps]
    wanted = set(shown)

    def frames() -> Iterator[Image.Image]:
        for step, game in enumerate(replay()):
            if step in wanted:
                yield draw_game(game, caption(game)).quantize(palette=palette, dither=Image.Dither.NONE)

    palette = _palette(replay(), caption)
    images = frames()
    first = next(images)
    durations = [round(1000 * seconds_a_step)] * (len(shown) - 1) + [round(1000 * LAST_FRAME_SECONDS)]
    with atomic_binary_writer(path) as file:
        first.save(file, format="GIF", save_all=True, append_images=images, duration=durations, loop=0, disposal=1)
    return len(shown)


def _palette(games: Iterable[Game], caption: Callable[[Game], str]) -> Image.Image:
    """One palette for all frames: the colours of the first and the last one."""
    first = last = None
    for game in games:
        last = game
        first = first or draw_game(game, caption(game))
    assert first is not None
    assert last is not None
    both = Image.new("RGB", (first.width, 2 * first.height))
    both.paste(first, (0, 0))
    both.paste(draw_game(last, caption(last)), (0, first.height))
    return both.quantize(COLOURS, dither=Image.Dither.NONE)


def _cell_pixels(size: int) -> int:
    return max(10, WIDTH // size)


@cache
def _empty_board(size: int) -> Image.Image:
    cell, scale = _cell_pixels(size), SHARPNESS
    side = size * cell + 2 * MARGIN
    image = Image.new("RGB", (scale * side, scale * (side + CAPTION_HEIGHT)), BACKGROUND)
    draw = ImageDraw.Draw(image)
    for row in range(size):
        for column in range(size):
            left, top = scale * (MARGIN + column * cell), scale * (MARGIN + row * cell)
            colour = FIELD[(row + column) % 2]
            draw.rectangle((left, top, left + scale * cell - 1, top + scale * cell - 1), fill=colour)
    return image


@cache
def _font() -> Any:
    return ImageFont.load_default(15)


def _draw_apple(draw: ImageDraw.ImageDraw, centre: tuple[float, float], cell: int) -> None:
    x, y = centre
    radius = 0.32 * cell
    draw.ellipse((x - radius, y - radius * 0.85, x + radius, y + radius * 1.15), fill=APPLE_COLOUR)
    draw.ellipse((x, y - 1.35 * radius, x + 0.8 * radius, y - 0.75 * radius), fill=LEAF_COLOUR)


def _draw_snake(draw: ImageDraw.ImageDraw, centres: list[tuple[float, float]], stripes: list[int], cell: int) -> None:
    """A striped tube from the tail, which is thinner, to the head, which is lighter."""
    radii = [cell * width for width in (0.22, 0.3)] + [cell * 0.36] * (len(centres) - 2)
    colours = [*(BODY_COLOURS[stripe] for stripe in stripes[:-1]), HEAD_COLOUR]
    for ((x, y), (x2, y2)), radius, colour in zip(pairwise(centres), radii, colours[:-1], strict=False):
        draw.line((x, y, x2, y2), fill=colour, width=round(2 * radius))
    for (x, y), radius, colour in zip(centres, radii, colours, strict=True):
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def _draw_eyes(draw: ImageDraw.ImageDraw, centre: tuple[float, float], direction: int, cell: int) -> None:
    ahead = ((0, -1), (1, 0), (0, 1), (-1, 0))[direction]
    radius = 0.075 * cell
    for side in (-1, 1):
        x = centre[0] + cell * (0.12 * ahead[0] - 0.16 * side * ahead[1])
        y = centre[1] + cell * (0.12 * ahead[1] + 0.16 * side * ahead[0])
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=EYE_COLOUR)
