"""Files appear whole or not at all."""

import pytest

from tftune.atomic import replaced_file, replaced_folder, write_json


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "plan.json"
    target.write_text("old")
    with pytest.raises(RuntimeError), replaced_file(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["plan.json"]
    assert target.read_text() == "old"


def test_a_written_file_replaces_the_old_one(tmp_path):
    write_json(tmp_path / "a.json", {"x": 1})
    write_json(tmp_path / "a.json", {"x": 2})
    assert '"x": 2' in (tmp_path / "a.json").read_text()


def test_a_weights_file_keeps_the_suffix_keras_asks_for(tmp_path):
    with replaced_file(tmp_path / "best.weights.h5") as temporary:
        assert temporary.name.endswith(".weights.h5")
        temporary.touch()


def test_a_failed_folder_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), replaced_folder(tmp_path / "run") as temporary:
        (temporary / "a").touch()
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_an_overwritten_folder_holds_only_the_new_files(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "old").touch()
    with replaced_folder(tmp_path / "run", overwrite=True) as temporary:
        (temporary / "new").touch()
    assert [p.name for p in tmp_path.rglob("*")] == ["run", "new"]


def test_a_folder_that_holds_something_is_not_replaced_unasked(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "old").touch()
    with pytest.raises(OSError), replaced_folder(tmp_path / "run"):
        pass
    assert (tmp_path / "run" / "old").exists()
