"""Ids and labels of every template, token by token against a slow reference that shares no code with ours.

The reference renders prefix by prefix with the library, encodes what each step adds on its own, and takes the
loss on what an assistant turn adds up to its end-of-turn token, and on nothing else.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared_utils.chat_templates import TEMPLATES
from shared_utils.errors import DataValidationError
from shared_utils.model_utils import load_tokenizer
from shared_utils.prompt_formats import (
    IGNORED,
    RecordEncoder,
    attach_chat_template,
    encode_conversation,
    encode_prompt,
    encode_record,
)
from shared_utils.template_shapes import only_copies_contents

END = "<|im_end|>"  # the end token of the starter
ENDS = {
    "chatml": END, "qwen": END, "llama3": "<|eot_id|>", "mistral": END, "gemma": "<end_of_turn>", "zephyr": END,
    "alpaca": END, "vicuna": END, "thinking": END, "llama3 of its makers": "<|eot_id|>", "end only at the end": END,
}  # fmt: skip
# Reasoning stays in the last turn only, as with Qwen 3.
THINKING = """{%- for message in messages -%}
{{- '<|im_start|>' + message.role + '\n' -}}
{%- if message.role == 'assistant' and not loop.last -%}
{{- message.content.split('</think>')[-1].lstrip('\n') -}}
{%- elif message.role == 'assistant' and '</think>' not in message.content -%}
{{- '<think>\n\n</think>\n\n' + message.content -}}
{%- else -%}{{- message.content -}}{%- endif -%}
{{- '<|im_end|>\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"""
LLAMA3 = """{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' +
message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}
{% set content = '<|begin_of_text|>' + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}
{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"""
END_AT_THE_END = """{% for m in messages %}{{ '[' + m['role'] + '] ' }}{{ m['content'] }}{% if loop.last and m['role'] == 'assistant' %}{{ eos_token }}
{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '[assistant] ' }}{% endif %}"""
OWN = {"thinking": THINKING, "llama3 of its makers": LLAMA3, "end only at the end": END_AT_THE_END}


@pytest.fixture(scope="module")
def tokenizers():
    """The starter's tokenizer with the special tokens of all families, once for each template."""
    found = {}
    for name in ENDS:
        tokenizer = load_tokenizer("starter")
        tokens = ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>",
                  "<start_of_turn>", "<end_of_turn>"]  # fmt: skip
        tokenizer.add_special_tokens({"additional_special_tokens": tokens})
        if name in TEMPLATES:
            attach_chat_template(tokenizer, name, "test")
        else:
            tokenizer.chat_template = OWN[name]
        found[name] = tokenizer
    return found


def reference(tokenizer, messages, end, tools=None, turns=None):
    """Ids and labels of one row; `turns` are those that it supervises, by default all of the assistant's."""

    def rendered(count, asks):
        return tokenizer.apply_chat_template(messages[:count], tools=tools, tokenize=False, add_generation_prompt=asks)

    ids, labels, done = [], [], ""

    def add(text, supervised):
        nonlocal done
        new = tokenizer(text, add_special_tokens=False)["input_ids"]
        ids.extend(new)
        labels.extend(new if supervised else [IGNORED] * len(new))
        done += text

    for index, message in enumerate(messages):
        if message["role"] != "assistant" or (turns is not None and index not in turns):
            continue
        prompt, answered = rendered(index, True), rendered(index + 1, False)
        assert prompt.startswith(done)
        assert answered.startswith(prompt)
        add(prompt[len(done) :], False)
        add(answered[len(prompt) : answered.rindex(end) + len(end)], True)
    whole = rendered(len(messages), False)
    if whole.startswith(done):
        add(whole[len(done) :], False)
    return ids, labels


def conversation(*contents, system=None):
    turns = [{"role": role, "content": text} for role, text in zip(["user", "assistant"] * 9, contents, strict=False)]
    return [{"role": "system", "content": system}, *turns] if system else turns


def record(messages, tools=None):
    return {"id": "1", "source": "test", "messages": messages, **({"tools": tools} if tools else {})}


# Control tokens in what a person wrote have tests of their own: the reference knows no guard.
TEXT = st.text(
    st.one_of(st.sampled_from(" \n\tab.,{}%'\"|>é漢🙂"), st.characters(codec="utf-8", exclude_characters="<")),
    max_size=12,
)
SAID = TEXT.filter(lambda text: bool(text.strip()))
CONVERSATIONS = st.builds(
    lambda pairs, system: conversation(*[text for pair in pairs for text in pair], system=system),
    st.lists(st.tuples(TEXT, SAID), min_size=1, max_size=4),
    st.one_of(st.none(), SAID),
)


@pytest.mark.parametrize("name", [name for name in ENDS if name not in ("thinking", "end only at the end")])
def test_ids_and_labels_are_those_of_the_reference(name, tokenizers):
    tokenizer = tokenizers[name]

    @settings(max_examples=40, deadline=None)
    @given(CONVERSATIONS)
    def check(messages):
        encoded = encode_record(tokenizer, record(messages), 10_000)
        assert (encoded.input_ids, encoded.labels) == reference(tokenizer, messages, ENDS[name])

    check()


@pytest.mark.parametrize("name", ENDS)
def test_many_records_together_are_encoded_as_each_alone(name, tokenizers):
    tokenizer = tokenizers[name]
    contents = [("Why?", "So {0} and {{x}}."), ("", "\n Yes "), ("<|im_end|>", "No <|eot_id|>."), (" a\n", "%s")]
    many = [record(conversation(*pair * turns, system=system)) for pair in contents for turns in (1, 2, 3)
            for system in (None, "Be <|im_start|> brief. ")]  # fmt: skip
    encoder = RecordEncoder(tokenizer, 10_000)
    together = encoder.encode(encoder.prepare(many))
    assert together == [encode_conversation(tokenizer, one, 10_000) for one in many]


@pytest.mark.parametrize("name", ENDS)
def test_each_supervised_answer_continues_the_very_ids_that_chat_gives(name, tokenizers):
    tokenizer = tokenizers[name]
    messages = conversation("\nWhere?", "\n\nHere.", " And? ", " There", system="Brief")
    rows = encode_conversation(tokenizer, record(messages), 10_000)
    for turn in (2, 4):
        prompt = encode_prompt(tokenizer, messages[:turn])
        matching = [row for row in rows if row.input_ids[: len(prompt)] == prompt]
        assert any(row.labels[len(prompt)] == row.input_ids[len(prompt)] != IGNORED for row in matching)


TOOLS = [{"type": "function", "function": {"name": "clock", "parameters": {"zone": {"type": "string"}}}}]
CALL = {"type": "function", "function": {"name": "clock", "arguments": {"zone": "Ürümqi"}}}
TOOL_TALK = [
    {"role": "user", "content": "What time is it?"},
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "content": "12:30", "name": "clock"},
    {"role": "assistant", "content": "Half past twelve."},
]


@pytest.mark.parametrize("system", [None, "Be brief."])
@pytest.mark.parametrize("name", ["qwen", "mistral"])
def test_tool_calls_are_supervised_and_tool_results_are_not(name, system, tokenizers):
    tokenizer = tokenizers[name]
    messages = [{"role": "system", "content": system}, *TOOL_TALK] if system else TOOL_TALK
    encoded = encode_record(tokenizer, record(messages, TOOLS), 10_000)
    assert (encoded.input_ids, encoded.labels) == reference(tokenizer, messages, ENDS[name], TOOLS)
    learnt = tokenizer.decode([label for label in encoded.labels if label != IGNORED])
    assert "Ürümqi" in learnt
    assert "12:30" not in learnt
    assert learnt.count(END) == 2


def test_a_template_without_tools_refuses_to_lose_them(tokenizers):
    with pytest.raises(DataValidationError, match="does not write tools: 'clock' is lost"):
        encode_record(tokenizers["chatml"], record(TOOL_TALK, TOOLS), 512)


def test_control_tokens_in_tool_calls_stay_text(tokenizers):
    tokenizer = tokenizers["qwen"]
    call = {"type": "function", "function": {"name": "clock", "arguments": {"zone": "<|im_end|>"}}}
    messages = [TOOL_TALK[0], {**TOOL_TALK[1], "tool_calls": [call]}]
    encoded = encode_record(tokenizer, record(messages, TOOLS), 512)
    plain = encode_record(tokenizer, record(TOOL_TALK[:2], TOOLS), 512)
    assert encoded.input_ids.count(tokenizer.eos_token_id) == plain.input_ids.count(tokenizer.eos_token_id)
    assert '"zone": "<|im_end|>"' in tokenizer.decode(encoded.input_ids)


def test_a_template_that_rewrites_earlier_turns_gives_a_row_for_each_view_of_them(tokenizers):
    tokenizer = tokenizers["thinking"]
    messages = conversation("A?", "<think>\nhm\n</think>\n\na", "B?", "b", "C?", "<think>\nc\n</think>\n\nc")
    rows = encode_conversation(tokenizer, record(messages), 512)
    wanted = [reference(tokenizer, messages[: turn + 1], END, turns=[turn]) for turn in (1, 3, 5)]
    assert [(row.input_ids, row.labels) for row in rows] == wanted
    with pytest.raises(DataValidationError, match="writes earlier turns differently"):
        encode_record(tokenizer, record(messages), 512)


def test_an_end_token_that_only_the_last_turn_gets_is_learnt_in_every_turn(tokenizers):
    """Each turn is a row of its own, as the end tokens of earlier ones are missing."""
    tokenizer = tokenizers["end only at the end"]
    rows = encode_conversation(tokenizer, record(conversation("A", "a", "B", "b")), 512)
    assert [tokenizer.decode([x for x in row.labels if x != IGNORED]) for row in rows] == ["a" + END, "b" + END]


def space_first_tokenizer(scheme):
    """A tokenizer of the SentencePiece kind, which puts a space before a text."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=False))
    raw.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=False)
    trainer = trainers.BpeTrainer(vocab_size=120, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False)
    raw.train_from_iterator(["[INST] where is the key? [/INST] under the mat, you said.\n\n"] * 3, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


@pytest.mark.parametrize("scheme", ["first", "always"])
@pytest.mark.parametrize("text", ["where is the key", "is </s> there"])
def test_no_space_is_put_in_where_the_answer_begins(scheme, text):
    tokenizer = space_first_tokenizer(scheme)
    tokenizer.chat_template = TEMPLATES["alpaca"].replace("### Instruction:\\n", "").replace("### Response:\\n", "[")
    encoded = encode_record(tokenizer, record(conversation(text, "mat")), 512)
    answer = [label for label in encoded.labels if label != IGNORED]
    assert tokenizer.convert_ids_to_tokens(answer)[-1] == "</s>"
    assert "".join(tokenizer.convert_ids_to_tokens(answer[:-1])) == "mat"
    assert encoded.input_ids.count(tokenizer.eos_token_id) == 1
    if "</s>" not in text:
        whole = tokenizer.apply_chat_template(conversation(text, "mat"), tokenize=False)
        assert encoded.input_ids == tokenizer(whole, add_special_tokens=False)["input_ids"]


LOOKS_INTO_CONTENTS = [
    "{% for m in messages %}{% if 'x' in m.content %}a{% endif %}{{ m.content }}{% endfor %}",
    "{% for m in messages %}{{ m.content.split('a')[0] }}{% endfor %}",
    "{% for m in messages %}{{ m.content | upper }}{% endfor %}",
    "{% for m in messages %}{{ m.content | length }}{% endfor %}",
    "{% for m in messages %}{{ m.content[:3] }}{% endfor %}",
    "{% for m in messages %}{{ (m.content ~ 'x') | trim }}{% endfor %}",
    "{% for m in messages %}{% set c = 'a' + m.content %}{% if c == 'ab' %}x{% endif %}{% endfor %}",
    "{% for m in messages %}{% set c = m.content or 'x' %}{{ c[0] }}{% endfor %}",
    "{% for m in messages if m.content == 'a' %}{{ m.content }}{% endfor %}",
    "{% for m in messages | reverse %}{{ m.content[:3] }}{% endfor %}",
    "{% for m in messages %}{{ m | tojson }}{{ m[k] }}{% endfor %}",
    "{% for m in messages %}{% for k, v in m.items() %}{{ v }}{% endfor %}{% endfor %}",
    "{% for m in messages %}{{ loop.previtem.content[0] }}{% endfor %}",
    "{% set ns = namespace(a=messages[0].content) %}{{ ns.a[0] }}",
    "{% set ns = namespace(a='') %}{% set ns.a = messages[0].content %}{{ ns.a[0] }}",
    "{% set a = [messages[0].content] %}{{ a[0][1] }}",
    "{% set a = messages[0].get('content') %}{{ a[1] }}",
    "{% for c in messages[0].content %}{{ c }}{% endfor %}",
    "{{ (messages[0].content if true else 'a')[0] }}",
    "{% macro f(m) %}{{ m.content[0] }}{% endmacro %}{{ f(messages[0]) }}",
    "{% set x %}{{ messages[0].content }}{% endset %}{{ x[0] }}",
]


@pytest.mark.parametrize("template", LOOKS_INTO_CONTENTS)
def test_a_template_that_looks_into_contents_is_rendered_for_each_record(template):
    assert not only_copies_contents(template)


@pytest.mark.parametrize("name", [*TEMPLATES, "llama3 of its makers"])
def test_a_template_that_only_copies_is_known_as_such(name):
    assert only_copies_contents(TEMPLATES.get(name, LLAMA3))


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [(["<|reserved_0|>"], "<|reserved_0|>"), (["<|pad_right|>", "<|reserved_0|>"], "<|pad_right|>"), ([], None)],
)
def test_padding_is_a_spare_token_and_never_the_end_token(tokens, expected):
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    from shared_utils.model_utils import spare_token

    raw = Tokenizer(models.BPE({"a": 0, "<end>": 1}, []))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<end>", bos_token="<end>", pad_token="<end>")
    tokenizer.add_special_tokens({"additional_special_tokens": tokens})
    assert spare_token(tokenizer) == expected
