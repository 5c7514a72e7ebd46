"""The house stands as it was drawn: imports point one way, files stay short, nothing dangerous is called."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

# A package may import those of a lower number, and itself.
LEVELS = {
    "scripts": 6,
    "main": 5,
    "commands": 4,
    "workflows": 3,
    "configs": 3,
    "document_processing": 2,
    "conversation_data": 2,
    "training_methods": 2,
    "evaluation": 2,
    "deployment": 2,
    "sample_world": 2,
    "snake_game": 2,
    "starter_model": 2,
    "shared_utils": 1,
}
LIBRARY_NAMES = {"evaluate", "datasets", "tokenizers", "markdown", "onnx", "statistics", "torch", "peft", "trl"}
MOST_LINES = 400


def package_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def source_files() -> list[Path]:
    return sorted(path for path in ROOT.rglob("*.py") if package_of(path) in LEVELS and ".venv" not in path.parts)


def imported_packages(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        else:
            continue
        for name in names:
            package = name.split(".")[0]
            if package in LEVELS:
                yield package, node.lineno


@pytest.mark.parametrize("path", source_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path):
    own = package_of(path)
    wrong = [
        f"line {line}: {own} imports {package}"
        for package, line in imported_packages(path)
        if package != own and LEVELS[package] >= LEVELS[own]
    ]
    assert not wrong


def test_no_module_leads_back_to_itself():
    """Also not through an import inside a function."""
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in source_files()}
    imports = {name: set(imported_modules(path, modules)) - {name} for name, path in modules.items()}
    while imports:
        leaves = [name for name, needed in imports.items() if not needed & set(imports)]
        assert leaves, f"these import each other: {sorted(imports)}"
        for name in leaves:
            del imports[name]


def imported_modules(path: Path, modules: dict[str, Path]) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.module:
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name for name in [node.module, *inside] if name in modules)


def test_no_file_is_longer_than_a_newcomer_reads_at_once():
    assert not [str(path) for path in source_files() if len(path.read_text(encoding="utf-8").splitlines()) > MOST_LINES]


def test_no_module_has_the_name_of_a_library():
    assert not [str(path) for path in source_files() if path.stem in LIBRARY_NAMES]


def test_nothing_that_runs_foreign_code_is_called():
    """No pickle, eval or shell; loads are weights-only and safe; remote code is refused at every call."""
    wrong = []
    for path in source_files():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            wrong += [f"{path}:{node.lineno}: {problem}" for problem in problems(node)]
    assert not wrong


def problems(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        names = [alias.name for alias in node.names] + [getattr(node, "module", "") or ""]
        yield from (name for name in names if name.split(".")[0] in ("pickle", "cPickle", "dill", "joblib", "shelve"))
    if not isinstance(node, ast.Call):
        return
    name = ast.unparse(node.func)
    given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
    if name in ("eval", "exec", "os.system", "os.popen", "yaml.load", "yaml.unsafe_load", "yaml.full_load"):
        yield name
    if name == "torch.load" and given.get("weights_only") != "True":
        yield "torch.load without weights_only=True"
    if given.get("shell") == "True":
        yield "shell=True"
    loads = name.endswith(("AutoTokenizer.from_pretrained", "AutoModelForCausalLM.from_pretrained"))
    if loads and given.get("trust_remote_code") != "False":
        yield f"{name} without trust_remote_code=False"


def test_the_requirements_meet_the_version_floors():
    from workflows.machine_check import VERSION_FLOORS

    pinned = dict(
        line.split("==")
        for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
        if "==" in line
    )
    for package in ("torch", "transformers"):
        numbers = tuple(int(part) for part in pinned[package].split(".")[:2])
        assert numbers >= VERSION_FLOORS[package]
