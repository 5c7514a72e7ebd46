"""Names and paths that mean the same everywhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_utils import PathUtils
from shared_utils.errors import ConfigurationError, DataValidationError


@pytest.mark.parametrize("name", ["a", "support_bot", "qwen2.5-v1", "7b", "A" * 64])
def test_plain_names_are_taken(name):
    assert PathUtils.checked_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "a/b", "a\\b", "/etc", "-x", ".hidden", "a.", "a b", "a\n", "a\0", "é", "x" * 65, "\u202ea",
     "con", "NUL.txt", "com1"],
)  # fmt: skip
def test_names_that_lead_elsewhere_or_cannot_be_everywhere_are_refused(name):
    with pytest.raises(ConfigurationError):
        PathUtils.checked_name(name)


@given(st.text(max_size=12))
def test_a_name_that_is_taken_never_leaves_its_folder(name):
    try:
        PathUtils.checked_name(name)
    except ConfigurationError:
        return
    assert (Path("/registry") / f"{name}.json").resolve().parent == Path("/registry").resolve()


def test_patterns_are_expanded_in_the_order_given_and_sorted_within(tmp_path):
    for name in ("bfs_2", "bfs_1", "astar", "odd[1]"):
        (tmp_path / name).mkdir()
    found = PathUtils.expand([tmp_path / "odd[1]", str(tmp_path / "bfs_*"), tmp_path / "bfs_1", tmp_path / "astar"])
    assert [path.name for path in found] == ["odd[1]", "bfs_1", "bfs_2", "astar"]


def test_the_home_folder_is_understood_and_a_pattern_without_match_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert PathUtils.expand(["~"]) == [tmp_path]
    with pytest.raises(DataValidationError, match="nothing matches .*dfs_"):
        PathUtils.expand([str(tmp_path / "dfs_*")])


def test_inside_follows_links_and_is_not_fooled_by_a_common_beginning(tmp_path):
    for name in ("proj", "proj-evil"):
        (tmp_path / name).mkdir()
    (tmp_path / "proj" / "link").symlink_to(tmp_path / "proj-evil")
    assert PathUtils.is_inside(tmp_path / "proj", tmp_path / "proj")
    assert PathUtils.is_inside(tmp_path / "proj" / "a" / "..", tmp_path / "proj")
    assert not PathUtils.is_inside(tmp_path / "proj-evil", tmp_path / "proj")
    assert not PathUtils.is_inside(tmp_path / "proj" / "link", tmp_path / "proj")
