"""Settings put together in a program are checked like those of a file."""

from __future__ import annotations

import subprocess
import sys

import pytest

from configs.loader import load_config
from shared_utils.errors import ConfigurationError
from tests.conftest import ROOT
from training_methods import ConfigurationTemplate, TrainingConfigBuilder
from training_methods.transfer_learning.settings import FullSettings, LoRASettings, QLoRASettings


def test_the_builder_makes_what_its_calls_say(tmp_path):
    config = (
        TrainingConfigBuilder()
        .with_strategy("qlora")
        .with_model("starter", max_length=256)
        .with_qlora(rank=32, alpha=64, dropout=0.1)
        .with_training(epochs=5, learning_rate=1e-4, batch_size=2)
        .with_output(tmp_path, "experiment_1")
        .build()
    )
    assert config.strategy == "qlora"
    assert config.run_dir == tmp_path / "experiment_1"
    settings = config.settings
    assert isinstance(settings, QLoRASettings)
    assert (settings.lora_r, settings.lora_alpha, settings.lora_dropout) == (32, 64, 0.1)
    training = settings.training
    assert (training.num_train_epochs, training.learning_rate, training.max_length) == (5, 1e-4, 256)
    assert (training.per_device_train_batch_size, training.gradient_accumulation_steps) == (2, 16)


def test_a_saved_config_is_a_settings_file(tmp_path):
    config = TrainingConfigBuilder().with_qlora(rank=8).with_setting("logging.use_tensorboard", False).build()
    config.save(tmp_path / "mine.yaml")
    loaded = load_config([tmp_path / "mine.yaml"]).config
    assert loaded.transfer_learning.qlora == config.settings
    assert loaded.logging.use_tensorboard is False


def test_a_config_makes_its_tuner(tiny_model):
    config = TrainingConfigBuilder().with_strategy("full").with_model(str(tiny_model)).build()
    assert isinstance(config.settings, FullSettings)
    assert config.create_tuner(device="cpu").method == "full"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("quick_lora", LoRASettings),
        ("production_lora", LoRASettings),
        ("memory_efficient_qlora", QLoRASettings),
        ("research_config", LoRASettings),
    ],
)
def test_every_template_is_valid_and_may_be_changed(name, kind):
    config = getattr(ConfigurationTemplate, name)().with_training(epochs=2).build()
    assert isinstance(config.settings, kind)
    assert config.settings.training.num_train_epochs == 2


@pytest.mark.parametrize(
    ("build", "message", "hint"),
    [
        (lambda b: b.with_strategy("qlorra"), "no strategy 'qlorra'", "did you mean qlora?"),
        (lambda b: b.with_lora(rank=0).build(), "lora.lora_r is 0", ""),
        (lambda b: b.with_strategy("full").with_lora(rank=4).build(), "with_lora does not go with", ""),
        (lambda b: b.with_training(learning_rate=3).build(), "learning_rate is 3", ""),
        (lambda b: b.with_setting("training.lerning_rate", 1).build(), "lora.training.lerning_rate", ""),
        (lambda b: b.with_model("starter", max_length=4096).build(), "starter reads at most 1024 tokens", "1024"),
        (lambda b: b.with_output("outputs", "a/b"), "'a/b' is no name of a folder", ""),
        (lambda b: b.with_qlora().with_setting("init_lora_weights", "pissa").build(), "pissa needs full", ""),
    ],
)
def test_what_is_wrong_is_told(build, message, hint):
    with pytest.raises(ConfigurationError) as caught:
        build(TrainingConfigBuilder())
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_the_names_cost_no_torch():
    code = (
        "import sys, training_methods; training_methods.TrainingConfigBuilder().build(); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
