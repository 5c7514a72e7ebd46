"""Settings: what is merged, what is refused, and how it is told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from configs.fields import Override
from configs.loader import DEFAULT_FILE, PRESETS_DIR, load_config, parse_set, preset_file, to_yaml
from configs.schema import ToolkitConfig
from shared_utils.errors import ConfigurationError
from tests.conftest import ROOT

BROKEN = {
    "unknown key": ("common: {sead: 1}", "unknown key common.sead", "common.seed"),
    "unknown section": ("comon: {seed: 1}", "unknown key comon", "common"),
    "unknown deep key": (
        "transfer_learning: {lora: {training: {lerning_rate: 1}}}",
        "transfer_learning.lora.training.lerning_rate",
        "learning_rate",
    ),
    "duplicate key": ("common:\n  seed: 1\n  seed: 2", "line 3: common.seed stands twice", "remove one"),
    "duplicate section": ("common: {seed: 1}\ncommon: {seed: 2}", "line 2: common stands twice", "remove one"),
    "word for a number": ("common: {seed: many}", "common.seed is 'many'", "start of every random"),
    "true for a number": ("common: {seed: true}", "a number is needed", ""),
    "fraction for a whole number": ("common: {seed: 1.5}", "common.seed is 1.5", ""),
    "number for a word": ("common: {output_dir: 5}", "common.output_dir is 5", ""),
    "list for a number": ("common: {seed: [1]}", "common.seed is [1]", ""),
    "null for a number": ("common: {seed: null}", "common.seed is null", ""),
    "too small": ("transfer_learning: {lora: {lora_r: 0}}", "greater than or equal to 1", ""),
    "too large": ("transfer_learning: {lora: {lora_dropout: 1.0}}", "less than 1", ""),
    "negative rate": ("transfer_learning: {lora: {training: {learning_rate: -1}}}", "greater than 0", ""),
    "not a number": ("transfer_learning: {lora: {training: {learning_rate: .nan}}}", "finite number", ""),
    "infinite": ("transfer_learning: {lora: {training: {learning_rate: .inf}}}", "", ""),
    "mistyped choice": ("common: {device: gpu}", "common.device is 'gpu'", "allowed: auto, cpu, cuda, mps"),
    "choice in wrong case": ("common: {log_level: info}", "common.log_level is 'info'", "did you mean INFO?"),
    "list for a section": ("common: [1, 2]", "common must be a section", "known keys here: device"),
    "word for a section": ("common: yes", "common must be a section", ""),
    "list for the file": ("- a\n- b", "the file must be a section", ""),
    "word for the file": ("hello", "the file must be a section", ""),
    "tab": ("common:\n\tseed: 1", "line 2: not valid YAML", "tab"),
    "open quote": ("common: {output_dir: 'x}", "not valid YAML", ""),
    "open brace": ("common: {seed: 1", "not valid YAML", ""),
    "bad indentation": ("common:\n  seed: 1\n device: cpu", "line 3", ""),
    "two documents": ("common: {seed: 1}\n---\ncommon: {seed: 2}", "not valid YAML", ""),
    "python object": ("common: {seed: !!python/object/apply:os.getpid []}", "not valid YAML", ""),
    "unknown alias": ("common: {seed: *x}", "not valid YAML", ""),
    "overlap as large as chunk": (
        "document_processing: {lm_studio: {chunk_size: 50, overlap_size: 50}}",
        "overlap_size (50) must be smaller than chunk_size (50)",
        "change one of the two",
    ),
    "overlap larger than default chunk": (
        "document_processing: {lm_studio: {overlap_size: 600}}",
        "overlap_size (600) must be smaller than chunk_size (512)",
        "",
    ),
    "missing variable": ("common: {output_dir: '${NO_SUCH_VARIABLE_X}'}", "NO_SUCH_VARIABLE_X is not set", "export"),
    "zero batch": ("transfer_learning: {lora: {training: {per_device_train_batch_size: 0}}}", "is 0", ""),
    "zero epochs": ("transfer_learning: {lora: {training: {num_train_epochs: 0}}}", "is 0", ""),
    "word for a switch": ("logging: {use_tensorboard: perhaps}", "use_tensorboard is 'perhaps'", ""),
    "mapping for a value": ("common: {seed: {a: 1}}", "common.seed is {'a': 1}", ""),
    "empty name": ("transfer_learning: {lora: {model_name: ''}}", "model_name is ''", ""),
    "flat key of a section": ("seed: 3", "unknown key seed", "common.seed"),
    "dotted key": ("common.seed: 3", "unknown key common.seed", ""),
    "section of another program": ("rlhf: {ppo: {gamma: 0.9}}", "unknown key rlhf", ""),
}


def from_text(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "settings.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_told_with_file_line_and_key(tmp_path, name):
    text, message, hint = BROKEN[name]
    path = from_text(tmp_path, text)
    with pytest.raises(ConfigurationError) as caught:
        load_config([path])
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert str(path) in caught.value.message


def test_a_broken_file_ends_with_code_2_before_torch_is_imported(tmp_path):
    path = from_text(tmp_path, "common: {sead: 1}")
    code = (
        "import sys; from main import main; code = main(sys.argv[1:]);assert 'torch' not in sys.modules; sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "doctor", "--config", str(path)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {path}, line 1: unknown key common.sead\nhint: did you mean common.seed?")


@pytest.mark.parametrize("text", ["2e-4", "2.0e-4", "0.0002", "'2e-4'"])
def test_a_rate_may_be_written_in_any_way(tmp_path, text):
    path = from_text(tmp_path, f"transfer_learning: {{lora: {{training: {{learning_rate: {text}}}}}}}")
    assert load_config([path]).config.transfer_learning.lora.training.learning_rate == 2e-4


def test_later_sources_win_and_each_value_knows_its_own(tmp_path):
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text("common: {seed: 1, output_dir: one}", encoding="utf-8")
    second.write_text("common:\n  seed: 2", encoding="utf-8")
    loaded = load_config([first, second], [Override("common.device", "cpu", "--device")], default_file=None)
    assert (loaded.config.common.seed, loaded.config.common.output_dir) == (2, "one")
    assert loaded.sources["common.seed"] == f"{second}, line 2"
    assert loaded.sources["common.output_dir"] == f"{first}, line 1"
    assert loaded.sources["common.device"] == "--device"
    assert loaded.sources["common.log_level"] == "default"


def test_a_flag_may_mend_what_a_file_and_a_default_break_together(tmp_path):
    path = from_text(tmp_path, "document_processing: {lm_studio: {overlap_size: 600}}")
    chunk_size = Override("document_processing.lm_studio.chunk_size", "900", "--chunk-size")
    assert load_config([path], [chunk_size]).config.document_processing.lm_studio.chunk_size == 900


def test_a_wrong_value_is_an_error_even_where_a_later_source_hides_it(tmp_path):
    path = from_text(tmp_path, "common: {seed: many}")
    with pytest.raises(ConfigurationError, match="common.seed"):
        load_config([path], [Override("common.seed", "3", "--seed")])


def test_environment_variables_are_filled_in(tmp_path, monkeypatch):
    monkeypatch.setenv("TOOLKIT_PLACE", "somewhere")
    path = from_text(tmp_path, "common: {output_dir: '${TOOLKIT_PLACE}/runs'}")
    assert load_config([path]).config.common.output_dir == "somewhere/runs"


def test_a_byte_order_mark_and_an_empty_section_are_no_problem(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("common:\n  seed: 7\nlogging:\n", encoding="utf-8-sig")
    assert load_config([path]).config.common.seed == 7


def test_an_alias_bomb_ends_at_once(tmp_path):
    lines = ["a: &a0 {x: 1}"] + [f"b{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60)]
    with pytest.raises(ConfigurationError):
        load_config([from_text(tmp_path, "\n".join(lines))])


def test_an_old_short_name_is_taken_with_a_warning(tmp_path):
    loaded = load_config([from_text(tmp_path, "document_processing: {chunk_size: 300}")])
    assert loaded.config.document_processing.lm_studio.chunk_size == 300
    assert "old name of document_processing.lm_studio.chunk_size" in loaded.warnings[0]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("common.seed=7", 7),
        ("common.output_dir=5", "5"),
        ("common.output_dir=a=b", "a=b"),
        ("logging.log_dir=null", None),
    ],
)
def test_set_reads_the_value_as_the_setting_needs_it(text, value):
    assert parse_set(text).value == value


@pytest.mark.parametrize("text", ["common.seed", "=3", "common=3", "nothing.here=1"])
def test_a_set_that_names_no_setting_is_refused(text):
    with pytest.raises(ConfigurationError):
        parse_set(text)


def test_a_preset_that_does_not_exist_names_the_nearest():
    with pytest.raises(ConfigurationError) as caught:
        preset_file("tiny_cpus")
    assert "did you mean tiny_cpu?" in caught.value.hint


@pytest.mark.parametrize("path", sorted(PRESETS_DIR.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_preset_loads(path):
    load_config([path])


def test_the_resolved_settings_written_to_a_run_give_the_same_settings_again(tmp_path):
    config = load_config(overrides=[Override("transfer_learning.lora.lora_r", "7", "--lora-r")]).config
    assert load_config([from_text(tmp_path, to_yaml(config))]).config == config


def test_the_generated_files_equal_the_code():
    from scripts.write_generated import command_reference, default_config

    assert DEFAULT_FILE.read_text(encoding="utf-8") == default_config()
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == command_reference()


def test_the_default_file_changes_no_default():
    assert load_config().config == ToolkitConfig()
