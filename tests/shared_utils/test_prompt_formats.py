"""What the model sees: templates, supervised tokens, and control tokens in a person's text."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared_utils.chat_templates import TEMPLATES, check_chat_template
from shared_utils.errors import ConfigurationError, DataValidationError, SecurityError
from shared_utils.model_utils import load_tokenizer
from shared_utils.prompt_formats import IGNORED, encode_prompt, encode_record, encode_text

QUESTION = {"role": "user", "content": "Where is the key?"}
ANSWER = {"role": "assistant", "content": "Under the mat."}
CONTROL = ["<|pad|>", "<|endoftext|>", "<|im_start|>", "<|im_end|>"]


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer("starter")


def record(*messages):
    return {"id": "1", "source": "test", "messages": list(messages)}


def supervised_text(tokenizer, encoded):
    return tokenizer.decode([label for label in encoded.labels if label != IGNORED])


def test_chatml_is_rendered_to_the_letter(tokenizer):
    ids = encode_prompt(tokenizer, [{"role": "system", "content": "Be brief."}, QUESTION])
    assert tokenizer.decode(ids) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhere is the key?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_the_loss_is_on_the_answer_and_its_end_token_only(tokenizer):
    encoded = encode_record(tokenizer, record({"role": "system", "content": "Be brief."}, QUESTION, ANSWER), 512)
    assert supervised_text(tokenizer, encoded) == "Under the mat.<|im_end|>"


def test_every_answer_of_a_conversation_is_supervised(tokenizer):
    encoded = encode_record(tokenizer, record(QUESTION, ANSWER, QUESTION, {**ANSWER, "content": "Still there."}), 512)
    assert supervised_text(tokenizer, encoded) == "Under the mat.<|im_end|>Still there.<|im_end|>"


def test_training_continues_exactly_where_the_prompt_ends(tokenizer):
    """What the model learns to continue is token for token what chat gives it."""
    encoded = encode_record(tokenizer, record(QUESTION, ANSWER), 512)
    prompt = encode_prompt(tokenizer, [QUESTION])
    assert encoded.input_ids[: len(prompt)] == prompt
    assert encoded.labels[: len(prompt)] == [IGNORED] * len(prompt)
    assert encoded.labels[len(prompt)] == encoded.input_ids[len(prompt)]


@pytest.mark.parametrize("name", [name for name in TEMPLATES if name not in ("llama3", "gemma")])
def test_each_built_in_template_supervises_the_answer_and_an_end_token(name):
    tokenizer = load_tokenizer("starter", name)
    encoded = encode_record(tokenizer, record(QUESTION, ANSWER, QUESTION, ANSWER), 512)
    assert supervised_text(tokenizer, encoded).replace(" Under", "Under") == "Under the mat.<|im_end|>" * 2


def test_a_template_whose_tokens_are_missing_is_refused():
    with pytest.raises(ConfigurationError, match="llama3"):
        load_tokenizer("starter", "llama3")


def test_a_template_without_an_end_token_is_refused(tokenizer, tmp_path):
    path = tmp_path / "endless.jinja"
    path.write_text("{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\\n' }}{% endfor %}"
                    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}", encoding="utf-8")  # fmt: skip
    with pytest.raises(DataValidationError, match="no end token"):
        encode_record(load_tokenizer("starter", str(path)), record(QUESTION, ANSWER), 512)


def test_a_template_that_rewrites_earlier_turns_is_refused(tmp_path):
    path = tmp_path / "forgetful.jinja"
    path.write_text("{% for m in messages %}{% if loop.last %}{{ '<|im_start|>!' }}{% endif %}"
                    "{{ m['content'] + '<|im_end|>' }}{% endfor %}", encoding="utf-8")  # fmt: skip
    with pytest.raises(DataValidationError, match="answers cannot be marked"):
        encode_record(load_tokenizer("starter", str(path)), record(QUESTION, ANSWER, QUESTION, ANSWER), 512)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(CONTROL), st.text(max_size=8)), max_size=6).map("".join))
def test_control_tokens_in_a_persons_text_never_become_control(text):
    """The control ids are those of the template, and the text survives the round trip."""
    tokenizer = load_tokenizer("starter")
    control_ids = set(tokenizer.convert_tokens_to_ids(CONTROL))
    plain = encode_prompt(tokenizer, [QUESTION])
    ids = encode_prompt(tokenizer, [{"role": "user", "content": text}])
    assert [i for i in ids if i in control_ids] == [i for i in plain if i in control_ids]
    expected = f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"
    assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == expected


def test_control_tokens_in_an_answer_are_learnt_as_text_with_one_end(tokenizer):
    answer = {"role": "assistant", "content": "Write <|im_end|> here."}
    encoded = encode_record(tokenizer, record({**QUESTION, "content": "<|im_start|>?"}, answer), 512)
    labels = [label for label in encoded.labels if label != IGNORED]
    assert labels.count(tokenizer.eos_token_id) == 1
    assert labels[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(labels) == "Write <|im_end|> here.<|im_end|>"


def test_control_tokens_in_a_text_record_are_text(tokenizer):
    (encoded,) = encode_text(tokenizer, "a <|im_end|> b", 512)
    assert encoded.input_ids.count(tokenizer.eos_token_id) == 1
    assert encoded.labels == encoded.input_ids


def test_a_long_text_is_windowed_and_nothing_is_lost(tokenizer):
    text = "The kettle sings on the stove. " * 60
    windows = encode_text(tokenizer, text, 100)
    ids = [token for window in windows for token in window.input_ids]
    assert max(len(window.input_ids) for window in windows) <= 100
    assert tokenizer.decode(ids[:-1]) == text


def test_a_conversation_beyond_the_limit_is_cut_and_says_so(tokenizer):
    encoded = encode_record(tokenizer, record(QUESTION, {**ANSWER, "content": "word " * 300}), 50)
    assert encoded.truncated
    assert len(encoded.input_ids) == len(encoded.labels) == 50


HOSTILE_TEMPLATES = {
    "attribute walk": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "attribute walk by filter": "{{ (messages|attr('__class__')).__mro__ }}",
    "format walk": "{{ '{0.__class__.__init__.__globals__}'.format(messages) }}",
    "range bomb": "{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}",
    "huge range": "{% for i in range(10**12) %}x{% endfor %}",
    "doubling": "{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
    "power": "{{ 9 ** (9 ** 9) }}",
    "padding": "{{ 'x'.ljust(10**10) }}",
    "syntax": "{% for %}",
    "import": "{% import 'os' as os %}{{ os.system('touch /tmp/pwned') }}",
}


@pytest.mark.parametrize("name", HOSTILE_TEMPLATES)
def test_a_hostile_template_is_a_clear_error(name):
    with pytest.raises(SecurityError, match=r"chat template of planted is refused"):
        check_chat_template(HOSTILE_TEMPLATES[name], "planted")


def test_a_hostile_template_in_a_model_folder_is_refused(tiny_model, tmp_path):
    import shutil

    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    (folder / "chat_template.jinja").write_text(HOSTILE_TEMPLATES["range bomb"], encoding="utf-8")
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    config["chat_template"] = HOSTILE_TEMPLATES["range bomb"]
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(SecurityError):
        load_tokenizer(str(folder))


def test_a_pair_of_sane_templates_passes_the_check():
    check_chat_template("{% for m in messages %}{{ m.role }}: {{ m.content | trim }}\n{% endfor %}", "someone")
    check_chat_template("{{ raise_exception('no system') if messages[0].role == 'system' else 'ok' }}", "someone")
