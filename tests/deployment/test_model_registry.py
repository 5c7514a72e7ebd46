"""Names for finished models."""

from __future__ import annotations

import json
import shutil

import pytest

from deployment import ModelRegistry
from shared_utils.errors import ConfigurationError, DataValidationError, LLMToolkitError
from shared_utils.file_utils import sha256_of
from shared_utils.run_lock import run_lock


@pytest.fixture
def model(tiny_model, tmp_path):
    return shutil.copytree(tiny_model, tmp_path / "outputs" / "model")


@pytest.fixture
def registry(tmp_path):
    return ModelRegistry(tmp_path / "registry")


def test_an_entry_says_where_the_model_is_and_what_it_reached(model, registry):
    run = {"model": "starter", "result": {"method": "full", "eval_loss": 1.5, "steps": 3, "seconds": 9}}
    (model / "run.json").write_text(json.dumps(run), encoding="utf-8")
    entry = registry.add("bot", model, tags=["best", "a1"])
    assert json.loads((registry.folder / "bot.json").read_text(encoding="utf-8")) == entry
    assert entry["folder"] == str(model.resolve())
    assert (entry["method"], entry["base"], entry["tags"]) == ("full", "starter", ["a1", "best"])
    assert entry["metrics"] == {"eval_loss": 1.5, "steps": 3}
    assert entry["weights"] == {"model.safetensors": sha256_of(model / "model.safetensors")}
    assert registry.path("bot") == model


def test_a_merged_model_takes_its_figures_from_the_run_above_it(model, registry, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(model, run / "merged")
    (run / "run.json").write_text(json.dumps({"model": "x", "result": {"method": "lora"}}), encoding="utf-8")
    assert registry.add("merged", run / "merged")["method"] == "lora"
    other = shutil.copytree(model, run / "other")
    assert registry.add("other", other)["method"] == "model"  # not every folder in a run folder is of the run


def test_entries_are_listed_by_name_and_a_damaged_one_is_told_and_left_out(model, registry, caplog):
    registry.add("b", model)
    registry.add("a", model)
    (registry.folder / "c.json").write_text('{"name": "c"', encoding="utf-8")
    (registry.folder / "d.json").write_text(json.dumps({**registry.get("a"), "name": "a"}), encoding="utf-8")
    assert [one["name"] for one in registry.models()] == ["a", "b"]
    assert "c.json is damaged" in caplog.text
    assert "d.json is damaged" in caplog.text


def test_a_name_belongs_to_one_model_and_the_same_one_may_be_registered_again(model, registry, tmp_path):
    other = shutil.copytree(model, tmp_path / "other")
    registry.add("bot", model, tags=["kept"])
    with pytest.raises(DataValidationError, match="'bot' is registered already, for .*model") as caught:
        registry.add("bot", other)
    assert "models remove bot" in caught.value.hint
    with pytest.raises(DataValidationError, match="'bot' is registered already"):
        registry.add("BOT", other)  # one file on systems that do not tell cases apart
    (model / "model.safetensors").write_bytes(b"new weights")
    assert registry.add("bot", model)["tags"] == ["kept"]
    assert registry.state("bot") == "ok"


@pytest.mark.parametrize("name", ["../bot", "a/b", "", ".default", "starter", "Starter", "nul"])
def test_names_that_are_no_names_are_refused(name, model, registry):
    with pytest.raises(ConfigurationError):
        registry.add(name, model)
    assert not registry.folder.exists()


def test_only_finished_models_on_this_machine_can_be_registered(registry, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataValidationError, match="holds no model"):
        registry.add("a", tmp_path / "empty")
    with pytest.raises(DataValidationError, match="no folder with a model"):
        registry.add("a", "starter")


def test_an_unknown_name_names_the_nearest_one(model, registry):
    with pytest.raises(DataValidationError) as caught:
        registry.get("support_bot")
    assert caught.value.hint == "none yet; train with --register NAME"
    registry.add("support_bot", model)
    with pytest.raises(DataValidationError, match="no model is registered as 'suport_bot'") as caught:
        registry.get("suport_bot")
    assert caught.value.hint == "did you mean support_bot? registered: support_bot"
    with pytest.raises(DataValidationError):
        registry.get("../registry/support_bot")


def test_weights_that_changed_or_went_are_seen(model, registry):
    registry.add("bot", model)
    assert registry.state("bot") == "ok"
    with (model / "model.safetensors").open("ab") as file:
        file.write(b"x")
    assert registry.state("bot") == "changed"
    shutil.rmtree(model)
    assert registry.state("bot") == "gone"
    with pytest.raises(DataValidationError, match="is gone") as caught:
        registry.path("bot")
    assert "models remove bot" in caught.value.hint


def test_tags_come_and_go(model, registry):
    registry.add("bot", model)
    assert registry.tag("bot", ["b", "a", "b"])["tags"] == ["a", "b"]
    assert registry.tag("bot", ["c"], remove=["a"])["tags"] == registry.get("bot")["tags"] == ["b", "c"]
    with pytest.raises(ConfigurationError, match="no tag"):
        registry.tag("bot", ["two words"])


def test_the_default_is_what_was_chosen_last_until_it_is_removed(model, registry):
    assert registry.default() is None
    registry.add("a", model)
    registry.add("b", model)
    registry.use("a")
    registry.use("b")
    assert registry.default() == "b"
    assert registry.names() == ["a", "b"]
    registry.remove("b")
    assert registry.default() is None
    registry.add("b", model)
    assert registry.default() is None
    with pytest.raises(DataValidationError):
        registry.use("c")


def test_removing_takes_the_entry_off_and_leaves_the_files(model, registry):
    registry.add("bot", model)
    registry.remove("bot")
    assert registry.names() == []
    assert (model / "model.safetensors").is_file()
    with pytest.raises(DataValidationError):
        registry.remove("bot")


def test_files_are_deleted_only_when_asked_for(model, registry, tmp_path):
    (tmp_path / "outputs" / "neighbour").mkdir()
    registry.add("bot", model)
    registry.remove("bot", delete_files=True)
    assert not model.exists()
    assert (tmp_path / "outputs" / "neighbour").is_dir()


def test_what_is_more_than_a_model_is_not_deleted(model, registry, tmp_path, monkeypatch):
    """An entry is a file that anybody can write, so what it names is looked at again."""

    def refused(reason):
        with pytest.raises(LLMToolkitError, match=reason):
            registry.remove("bot", delete_files=True)
        assert model.is_dir()
        assert registry.names()[0] == "bot"

    registry.add("bot", model)
    inner = shutil.copytree(model, model / "merged")
    registry.add("inner", inner)
    refused("another registered model lies in it")
    registry.remove("inner")
    with run_lock(model):
        refused("is in use by process")
    monkeypatch.chdir(inner)
    refused("the working directory")
    monkeypatch.chdir(tmp_path)
    (model / "config.json").unlink()
    refused("no model any more")
    entry = registry.get("bot")
    (registry.folder / "bot.json").write_text(json.dumps({**entry, "folder": str(tmp_path)}), encoding="utf-8")
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    refused("the working directory")
