"""Invented subjects (products, firms, fairs, recipes, books, people, places) with facts about them.

Everything is drawn with a `random.Random`, so the same seed gives the same world. The words stand
in fact_kinds.yaml and values.yaml.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import yaml

FOLDER = Path(__file__).parent
NUMBER_WORDS = [
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
    "twenty-one",
    "twenty-three",
    "twenty-four",
    "twenty-five",
    "thirty",
    "thirty-two",
    "thirty-five",
    "forty",
    "forty-two",
    "fifty",
    "sixty",
    "seventy",
    "eighty",
    "ninety",
]
ORDINALS = ["first", "second", "third", "fourth", "last"]
WEEKDAYS = ["Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays"]
MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
CURRENCIES = ["crowns", "pounds", "dollars", "shillings", "coins", "thalers", "francs", "pence"]


@dataclass(frozen=True)
class Fact:
    """One thing that is true about a subject: the kind it belongs to, its value, the part it is about."""

    kind: dict[str, Any]
    value: str
    thing: str
    answer: str


@dataclass(frozen=True)
class Subject:
    """Something that facts are about, with the noun phrases that may stand for it."""

    group: str
    names: tuple[str, ...]
    noun: str
    facts: tuple[Fact, ...]


@cache
def words() -> dict[str, Any]:
    """The lists of values.yaml; a text of words counts as a list."""
    content: dict[str, Any] = yaml.safe_load((FOLDER / "values.yaml").read_text(encoding="utf-8"))
    return {name: entry.split() if isinstance(entry, str) else entry for name, entry in content.items()}


@cache
def fact_kinds() -> dict[str, dict[str, dict[str, Any]]]:
    """The kinds of facts by group: device, company, event, recipe, book, person, place."""
    content: dict[str, dict[str, dict[str, Any]]] = yaml.safe_load(
        (FOLDER / "fact_kinds.yaml").read_text(encoding="utf-8")
    )
    return content


def invent_subject(group: str, rng: Random, fact_count: int) -> Subject:
    """A subject of a group with facts of different kinds."""
    names, noun = NAMERS[group](rng)
    kinds = fact_kinds()[group]
    chosen = rng.sample(list(kinds.values()), min(fact_count, len(kinds)))
    return Subject(group, names, noun, tuple(invent_fact(kind, rng) for kind in chosen))


def invent_fact(kind: dict[str, Any], rng: Random) -> Fact:
    """A fact of one kind with a value of its own."""
    value = invent_value(kind["value"], rng)
    thing = rng.choice(words()[kind["thing"]]) if "thing" in kind else ""
    return Fact(kind, value, thing, kind.get("answer", "{v}").format(v=value, p=thing))


def invent_value(name: str, rng: Random) -> str:
    """A value of the named sort: from a generator below, else from its list."""
    if name in GENERATORS:
        return GENERATORS[name](rng)
    value: str = rng.choice(words()[name])
    return value


def person_name(rng: Random) -> str:
    """A first name and a surname, such as "Selma Birchfield"."""
    return f"{rng.choice(words()['first_names'])} {surname(rng)}"


def surname(rng: Random) -> str:
    """A surname put together from two pieces."""
    return f"{rng.choice(words()['surname_starts'])}{rng.choice(words()['surname_ends'])}"


def product_name(rng: Random) -> str:
    """The name of a product, such as "Plobert"."""
    return f"{rng.choice(words()['product_starts'])}{rng.choice(words()['product_ends'])}"


def place_name(rng: Random) -> str:
    """The name of a village, such as "Tidecombe"."""
    return f"{rng.choice(words()['place_starts'])}{rng.choice(words()['place_ends'])}"


def two_words(name: str, rng: Random, frame: str = "the {a} {n}") -> str:
    """An adjective and a noun from a pair of lists, such as "the Sleepy Lion"."""
    pair = words()[name]
    return frame.format(a=rng.choice(pair["adjectives"]), n=rng.choice(pair["nouns"]))


def number(rng: Random) -> str:
    """A small number, usually as a word."""
    return rng.choice(NUMBER_WORDS) if rng.random() < 0.75 else str(rng.randint(12, 99))


def quantity(units: list[str], low: int, high: int) -> Callable[[Random], str]:
    """A generator of figures with a unit, such as "430 grams" or "two metres"."""

    def draw(rng: Random) -> str:
        roll = rng.random()
        if roll < 0.35:
            return f"{rng.choice(NUMBER_WORDS)} {rng.choice(units)}"
        if roll < 0.55:
            return f"{rng.randint(1, 9)}.{rng.randint(1, 9)} {rng.choice(units)}"
        figure = rng.randint(low, high)
        return f"{figure * 10 if rng.random() < 0.3 else figure} {rng.choice(units)}"

    return draw


def clock_time(rng: Random) -> str:
    """A time of day in words or figures."""
    hour = rng.choice(NUMBER_WORDS[:11])
    forms = [f"{hour} o'clock", f"half past {hour}", f"a quarter past {hour}", f"a quarter to {hour}"]
    return rng.choice([*forms, f"{rng.randint(7, 21)}:{rng.randint(1, 5)}0", f"{hour} in the morning"])


def event_date(rng: Random) -> str:
    """A day of the year."""
    month = rng.choice(MONTHS)
    return rng.choice(
        [
            f"the {rng.choice(ORDINALS)} {rng.choice(WEEKDAYS)[:-1]} in {month}",
            f"the {rng.choice(['tenth', 'second', 'twelfth', 'fifth', 'ninth', 'sixth'])} of {month}",
            f"{rng.randint(2, 30)} {month}",
            f"the {rng.choice(ORDINALS)} day of {month}",
        ]
    )


def device_names(rng: Random) -> tuple[tuple[str, ...], str]:
    """What a product may be called, and its plain noun."""
    name, noun, kind = (
        product_name(rng),
        rng.choice(words()["device_nouns"]),
        rng.choice(words()["device_kinds"]),
    )
    full = f"{kind} {noun}"
    return (f"the {name}", f"the {name} {noun}", f"the {name} {full}", f"the {full} {name}"), noun


def formed_names(list_name: str, noun: str) -> Callable[[Random], tuple[tuple[str, ...], str]]:
    """A namer that fills one of the forms of a list with a made-up word."""

    def draw(rng: Random) -> tuple[tuple[str, ...], str]:
        form: str = rng.choice(words()[list_name])
        return (form.format(s=surname(rng), t=rng.choice([surname, place_name, product_name])(rng)),), noun

    return draw


def person_names(rng: Random) -> tuple[tuple[str, ...], str]:
    """What a person may be called."""
    first, last = rng.choice(words()["first_names"]), surname(rng)
    return (
        f"{first} {last}",
        f"{first} {last}",
        rng.choice(["Doctor ", "Captain ", "Professor "]) + last,
    ), "person"


NAMERS: dict[str, Callable[[Random], tuple[tuple[str, ...], str]]] = {
    "device": device_names,
    "company": formed_names("company_forms", "company"),
    "event": formed_names("event_forms", "event"),
    "recipe": formed_names("recipe_forms", "dish"),
    "book": formed_names("book_forms", "book"),
    "person": person_names,
    "place": lambda rng: ((place_name(rng),), "village"),
}
GENERATORS: dict[str, Callable[[Random], str]] = {
    "weight": quantity(["kilograms", "grams", "pounds", "tons"], 2, 98),
    "length": quantity(["centimetres", "metres", "inches", "feet", "millimetres"], 2, 98),
    "length_metres": quantity(["metres", "feet"], 8, 98),
    "volume": quantity(["litres", "millilitres", "cups", "buckets", "gallons"], 2, 98),
    "speed": quantity(["kilometres an hour", "miles an hour", "metres a minute"], 2, 98),
    "price": quantity(CURRENCIES, 2, 98),
    "distance": quantity(["metres", "centimetres", "steps", "feet", "arm's lengths"], 2, 60),
    "temperature": quantity(["degrees"], 10, 98),
    "duration": quantity(["minutes", "hours", "days", "weeks", "months", "years"], 3, 60),
    "journey": quantity(["minutes", "hours"], 3, 60),
    "lifetime": quantity(["uses", "days", "years", "trips", "weeks", "litres", "songs"], 3, 90),
    "age": lambda rng: f"{number(rng)} years",
    "people": lambda rng: f"{number(rng)} {rng.choice(['people', 'people', 'men and women', 'persons'])}",
    "count": number,
    "big_count": lambda rng: str(rng.randint(20, 480)) if rng.random() < 0.5 else number(rng),
    "person": person_name,
    "place": place_name,
    "year": lambda rng: str(rng.randint(1702, 2019)),
    "clock": clock_time,
    "date": event_date,
    "weekday": lambda rng: rng.choice(WEEKDAYS),
    "pet_name": lambda rng: rng.choice(words()["pet_names"]),
    "river": lambda rng: f"the {product_name(rng)}",
    "stop": lambda rng: two_words("stop_words", rng, "{a} {n}"),
    "inn": lambda rng: two_words("inn_words", rng),
    "band": lambda rng: two_words("band_words", rng),
    "title": lambda rng: two_words("title_words", rng, "{a} {n}"),
}
