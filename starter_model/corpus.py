"""The text that the starter model learns from: generated, plain, and free of other people's words.

A text is a handbook page, a note, a story, or a conversation in ChatML. Part of the subjects come
back again and again under many questions: the model has to learn that differently phrased
questions about one fact want one answer, and that is what makes it learn new facts quickly.
"""

import re
from collections.abc import Iterator
from functools import cache
from random import Random
from typing import Any

import yaml

from starter_model.facts import (
    FOLDER,
    MONTHS,
    WEEKDAYS,
    Fact,
    Subject,
    invent_subject,
    invent_value,
    number,
    person_name,
    place_name,
    surname,
    words,
)
from starter_model.tokenizer import TURN_END, TURN_START

# How many subjects of each group the model meets over and over, and with how many facts each.
KNOWN_SUBJECTS = {"device": 10, "company": 8, "event": 6, "recipe": 6, "book": 5, "person": 6, "place": 5}
FACTS_PER_SUBJECT = {"device": 12, "company": 11, "event": 7, "recipe": 6, "book": 5, "person": 6, "place": 6}
# Share of each sort of text.
SHARES = {
    "known_questions": 0.62,
    "reading": 0.08,
    "page": 0.10,
    "story": 0.10,
    "small_talk": 0.09,
    "booklet": 0.01,
}
STORY_VALUES = ("colour", "material", "food", "drink", "room", "tool")
LINK_SHARE = 0.3
# A sentence that begins like this states something; the others ask the reader to do something.
STATEMENT_STARTS = ("{", "the ", "a ", "people ", "visitors ", "guests ", "it was ", "there are ")
ALTERNATIVE = re.compile(r"\(([^()]*\|[^()]*)\)")
SENTENCE_START = re.compile(r"(^|[.?!] )([a-z])")


def texts(seed: int) -> Iterator[str]:
    """Texts without end, the same ones for the same seed."""
    rng = Random(seed)
    known = known_subjects()
    makers = {
        "known_questions": lambda: known_questions(known, rng),
        "reading": lambda: reading(rng),
        "page": lambda: page(rng.choice(known), rng) if rng.random() < 0.6 else page(fresh_subject(rng), rng),
        "story": lambda: story(rng),
        "small_talk": lambda: small_talk(rng),
        "booklet": lambda: booklet(rng),
    }
    names, weights = list(SHARES), list(SHARES.values())
    while True:
        yield makers[rng.choices(names, weights)[0]]()


@cache
def known_subjects() -> tuple[Subject, ...]:
    """The subjects that come back; always the same."""
    rng = Random("known subjects")
    return tuple(
        invent_subject(group, rng, FACTS_PER_SUBJECT[group])
        for group, count in KNOWN_SUBJECTS.items()
        for _ in range(count)
    )


def fresh_subject(rng: Random) -> Subject:
    """A subject that nobody has met before."""
    return invent_subject(rng.choice(list(KNOWN_SUBJECTS)), rng, rng.randint(3, 7))


def known_questions(known: tuple[Subject, ...], rng: Random) -> str:
    """A conversation about subjects the model should know by heart."""
    turns = [small_exchange(rng)] if rng.random() < 0.05 else []
    subject = rng.choice(known)
    for _ in range(rng.choice([1, 2, 3, 4])):
        subject = subject if rng.random() < 0.3 else rng.choice(known)
        fact = rng.choice(subject.facts)
        turns.append((question(subject, fact, rng), fact.answer))
    return conversation(turns, rng)


def reading(rng: Random) -> str:
    """A conversation that brings its own text; the answers stand in it."""
    subject = fresh_subject(rng)
    asked = rng.sample(subject.facts, min(len(subject.facts), rng.randint(1, 3)))
    turns = [(question(subject, fact, rng, familiar=True), fact.answer) for fact in asked]
    opening = rng.choice(lists("reading")).format(d=page(subject, rng), q=turns[0][0])
    return conversation([(capitalise(opening), turns[0][1]), *turns[1:]], rng)


def page(subject: Subject, rng: Random) -> str:
    """A page that states all facts of a subject, in prose or as a list."""
    facts = rng.sample(subject.facts, len(subject.facts))
    sentences = [statement(subject, fact, rng, familiar=place > 0) for place, fact in enumerate(facts)]
    for _ in range(rng.randint(0, 2)):
        sentences.insert(rng.randrange(len(sentences) + 1), capitalise(rng.choice(lists("fillers"))))
    heading = capitalise(rng.choice(lists("headings")).format(x=subject.names[-1]))
    body = "\n".join(f"- {one}" for one in sentences) if rng.random() < 0.2 else paragraphs(sentences, rng)
    return rng.choice([f"# {heading}\n\n", f"{heading.upper()}\n\n", f"{heading}\n\n", "", ""]) + body


def paragraphs(sentences: list[str], rng: Random) -> str:
    """Sentences in paragraphs of two to five."""
    parts: list[str] = []
    rest = sentences
    while rest:
        size = rng.randint(2, 5)
        parts.append(" ".join(rest[:size]))
        rest = rest[size:]
    return "\n\n".join(parts)


def statement(subject: Subject, fact: Fact, rng: Random, familiar: bool) -> str:
    """A sentence that states the fact."""
    template = rng.choice(fact.kind["say"])
    link = ""
    if rng.random() < LINK_SHARE:
        links = "links_to_statements" if template.startswith(STATEMENT_STARTS) else "links"
        link = rng.choice(lists(links))
    return capitalise(link + fill(template, subject, fact, rng, familiar))


def question(subject: Subject, fact: Fact, rng: Random, familiar: bool = False) -> str:
    """One of the many ways to ask for the fact."""
    form = rng.choices(["direct", "topic", "clause"], [2, 1, 1])[0]
    text = fill(rng.choice(fact.kind[form]), subject, fact, rng, familiar)
    if form != "direct":
        text = rng.choice(lists(form)).format(t=text, c=text).replace("name the name", "give the name")
    if rng.random() < 0.12:
        text = rng.choice(lists("opening")) + text
    text = capitalise(text)
    if rng.random() < 0.06:
        text += " " + capitalise(rng.choice(lists("closing")))
    return text.lower() if rng.random() < 0.03 else text


def fill(template: str, subject: Subject, fact: Fact, rng: Random, familiar: bool) -> str:
    """The template with subject, noun, part and value put in.

    A familiar subject, one that was just named, may also be "it" or "the lamp".
    """
    names = list(subject.names)
    if familiar and subject.group != "person":
        names += [f"the {subject.noun}"] * len(names)
        if template.startswith("{x}"):
            names += ["it"] * len(names)
    return template.format(x=rng.choice(names), n=subject.noun, p=fact.thing, v=fact.value)


def story(rng: Random) -> str:
    """A short story, letter, notice or recipe."""
    text = choose_alternatives(rng.choice(load("stories")), rng)
    slots = {name: invent_value(name, rng) for name in STORY_VALUES}
    text = text.format(
        name=rng.choice(words()["first_names"]) if rng.random() < 0.7 else person_name(rng),
        other=rng.choice(words()["first_names"]),
        surname=surname(rng),
        town=place_name(rng),
        animal=rng.choice(words()["animal"]),
        thing=rng.choice(words()["item"]),
        weekday=rng.choice(WEEKDAYS).removesuffix("s"),
        month=rng.choice(MONTHS),
        number=number(rng),
        job=rng.choice(words()["trade"]),
        **slots,
    )
    return "\n".join(capitalise(line) for line in text.strip().splitlines())


def booklet(rng: Random) -> str:
    """Several pages and stories one after another: a text as long as other people's documents."""
    return "\n\n".join(story(rng) if rng.random() < 0.5 else page(fresh_subject(rng), rng) for _ in range(5))


def small_talk(rng: Random) -> str:
    """Greetings, thanks and questions to the model itself."""
    return conversation([small_exchange(rng) for _ in range(rng.choice([1, 1, 2]))], rng)


def small_exchange(rng: Random) -> tuple[str, str]:
    """One everyday remark and its answer."""
    entry = rng.choice(load("small_talk"))
    said = capitalise(choose_alternatives(rng.choice(entry["say"]), rng))
    return said.lower() if rng.random() < 0.1 else said, choose_alternatives(rng.choice(entry["answer"]), rng)


def conversation(turns: list[tuple[str, str]], rng: Random) -> str:
    """User and assistant turns in ChatML, now and then with a system text before them."""
    system = f"{TURN_START}system\n{rng.choice(lists('system'))}{TURN_END}\n" if rng.random() < 0.04 else ""
    return system + "".join(
        f"{TURN_START}user\n{user}{TURN_END}\n{TURN_START}assistant\n{assistant}{TURN_END}\n"
        for user, assistant in turns
    )


def choose_alternatives(text: str, rng: Random) -> str:
    """Each "(a|b)" replaced by one of its sides, from the inside outwards."""
    while ALTERNATIVE.search(text):
        text = ALTERNATIVE.sub(lambda match: rng.choice(match.group(1).split("|")), text)
    return text


def capitalise(text: str) -> str:
    """Capital letters at the start of each sentence."""
    return SENTENCE_START.sub(lambda match: match.group(1) + match.group(2).upper(), text)


def lists(name: str) -> list[str]:
    """One of the lists of frames.yaml."""
    entries: list[str] = load("frames")[name]
    return entries


@cache
def load(name: str) -> Any:
    """The content of one YAML file of this folder."""
    return yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
