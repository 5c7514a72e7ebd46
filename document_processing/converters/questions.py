"""Questions about a heading or a term, in the language of the text.

A question in the wrong language teaches a model to mix them, so where the language is not sure there is no
template: the heading stands alone. Which of several forms is taken is told by the content and never changes.
"""

from __future__ import annotations

import hashlib
import re
from typing import Literal

from document_processing.word_lists import word_set

Kind = Literal["heading", "about", "definition", "term", "list"]

LEAST_SHARE = 0.12  # of the words of a text are among the commonest words of its language
LEAST_LEAD = 1.5  # times as many as of any other language
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")

# Languages without templates stand here too: what is theirs must not be taken for another's.
_COMMON_WORDS = {
    "en": word_set(
        "the of and to a in is that for it as with are be this you can on by or from not an at which "
        "we will when if has have must should may your their its was were there they these been no all any only also "
        "more other than into used use using how what do does"
    ),
    "de": word_set("der die das und ist nicht ein eine zu den mit sich des auf für im dem von werden wird sie auch es"),
    "fr": word_set("le la les des et est une un dans pour que qui pas sur avec du au ce cette vous nous par sont ou"),
    "es": word_set("el la los las y es una un en para que no por con del al se lo como más su este esta está son"),
    "pt": word_set("o a os as e é uma um em para que não por com do da no na se como mais seu este esta são dos das"),
    "it": word_set("il la i gli e è una un in per che non con del della al si come più questo questa sono di le dei"),
    "nl": word_set("de het een en is niet van in op te dat met voor zijn aan er ook als bij of deze worden wordt"),
    "pl": word_set("i w na z do nie się jest że to o jak po za od przez dla są oraz jego tym być"),
    "sv": word_set("och det att i en som är på av för med den till inte har de om ett var kan så"),
}

_QUOTES = {"en": "“{}”", "de": "„{}“", "fr": "« {} »", "es": "«{}»"}

# {heading} and {context} are put in with the quotation marks of the language.
_FORMS: dict[str, dict[str, tuple[str, ...]]] = {
    "en": {
        "heading in context": (
            "What does {context} say about {heading}?",
            "In {context}, what should I know about {heading}?",
            "Tell me about {heading} as described in {context}.",
            "Explain {heading} in the context of {context}.",
        ),
        "heading": (
            "What should I know about {heading}?",
            "Tell me about {heading}.",
            "Explain {heading}.",
            "What can you say about {heading}?",
        ),
        "about": ("What is {context} about?", "Introduce {context}.", "How does {context} begin?"),
        "definition": ("What {verb} {term}?",),
        "definition in context": ("In {context}, what {verb} {term}?",),
        "term in context": (
            "What does {context} say about {heading}?",
            "How does {context} describe {heading}?",
        ),
        "list in context": (
            "What does {context} list under {heading}?",
            "Which points does {context} name under {heading}?",
        ),
        "list": ("What is listed under {heading}?", "Which points belong to {heading}?"),
    },
    "de": {
        "heading in context": (
            "Was steht in {context} zu {heading}?",
            "Was sollte ich laut {context} über {heading} wissen?",
            "Erkläre {heading} im Zusammenhang mit {context}.",
        ),
        "heading": (
            "Was sollte ich über {heading} wissen?",
            "Erkläre {heading}.",
            "Was lässt sich zu {heading} sagen?",
        ),
        "about": ("Worum geht es in {context}?", "Womit beginnt {context}?"),
        "term in context": ("Was steht in {context} zu {heading}?", "Wie beschreibt {context} {heading}?"),
        "list in context": (
            "Was zählt {context} unter {heading} auf?",
            "Welche Punkte nennt {context} unter {heading}?",
        ),
        "list": ("Was wird unter {heading} aufgezählt?", "Welche Punkte gehören zu {heading}?"),
    },
    "fr": {
        "heading in context": (
            "Que dit {context} à propos de {heading} ?",
            "D’après {context}, que faut-il savoir sur {heading} ?",
            "Explique {heading} dans le contexte de {context}.",
        ),
        "heading": ("Que faut-il savoir sur {heading} ?", "Explique {heading}.", "Que peut-on dire de {heading} ?"),
        "about": ("De quoi parle {context} ?", "Comment commence {context} ?"),
        "term in context": ("Que dit {context} à propos de {heading} ?", "Comment {context} décrit-il {heading} ?"),
        "list in context": ("Qu’énumère {context} sous {heading} ?",),
        "list": ("Quels points figurent sous {heading} ?",),
    },
    "es": {
        "heading in context": (
            "¿Qué dice {context} sobre {heading}?",
            "Según {context}, ¿qué hay que saber sobre {heading}?",
            "Explica {heading} en el contexto de {context}.",
        ),
        "heading": ("¿Qué hay que saber sobre {heading}?", "Explica {heading}.", "¿Qué se puede decir de {heading}?"),
        "about": ("¿De qué trata {context}?", "¿Cómo empieza {context}?"),
        "term in context": ("¿Qué dice {context} sobre {heading}?", "¿Cómo describe {context} {heading}?"),
        "list in context": ("¿Qué enumera {context} bajo {heading}?",),
        "list": ("¿Qué puntos figuran bajo {heading}?",),
    },
}


_HOW_TO = re.compile(r"how to (?=\w)", re.IGNORECASE)
_INDIRECT = re.compile(r"(?:what|how|why|when|where|who|which) \w", re.IGNORECASE)


def asking_heading(heading: str, context: str, language: str) -> str | None:
    """The question that an English heading asks already: "How to make a claim", "What a kettle is"."""
    if language != "en" or heading.rstrip().endswith("?"):
        return None
    suffix = f", according to “{context}”" if context else ""
    if _HOW_TO.match(heading):
        return f"How do I {_HOW_TO.sub('', heading, count=1)}{suffix}?"
    if _INDIRECT.match(heading):
        return f"Explain {heading[0].lower()}{heading[1:]}{suffix}."
    return None


def language_of(text: str) -> str:
    """`en`, `de`, `fr` or `es` where that is sure, else an empty string."""
    words = _WORD.findall(text.lower())
    if not words:
        return ""
    counts = {code: sum(word in common for word in words) for code, common in _COMMON_WORDS.items()}
    best, *others = sorted(counts, key=lambda code: -counts[code])
    is_sure = counts[best] >= max(LEAST_SHARE * len(words), LEAST_LEAD * counts[others[0]], 1)
    return best if is_sure and best in _FORMS else ""


def question(kind: Kind, heading: str, context: str, answer: str, language: str) -> str | None:
    """A question that the answer belongs to, or None where no honest one can be formed.

    Args:
        kind: what the answer is: the text under a heading, the beginning of a document (`about`), a
            sentence that defines (`definition`), what follows a term and a colon (`term`), or a list.
        heading: the heading or term; for a definition, verb and term ("is a lathe").
        context: the document or chapter, or an empty string.
        answer: takes part in the choice between forms.
        language: as `language_of` tells it.
    """
    forms = _FORMS.get(language) if _is_latin(heading) else None
    if forms is None:
        if kind in ("heading", "term"):
            return f"{context}: {heading}" if context else heading
        return None
    name = kind if kind == "about" or not context else f"{kind} in context"
    if name not in forms or (kind == "about" and not context):
        return None
    choice = hashlib.sha256(f"{heading}\0{answer}".encode("utf-8", "replace")).digest()[0] % len(forms[name])
    verb, _, term = heading.partition(" ")
    quote = _QUOTES[language]
    values = {
        "{context}": quote.replace("{}", context),
        "{heading}": quote.replace("{}", heading),
        "{verb}": verb,
        "{term}": term,
    }
    # Not str.format: a heading may hold braces.
    return re.sub(r"\{(?:context|heading|verb|term)\}", lambda slot: values[slot.group()], forms[name][choice])


def _is_latin(text: str) -> bool:
    letters = [character for character in text if character.isalpha()]
    return sum(character < "\u0250" for character in letters) >= 0.9 * len(letters)
