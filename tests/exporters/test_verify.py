"""Exports can be checked again anywhere, and measured."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import tftune
from tftune.data.dataset import Split
from tftune.errors import DataError, ExportError
from tftune.exporters.description import SPEC_FILE
from tftune.exporters.runtime_benchmark import benchmark_tflite
from tftune.exporters.verify import verify_export


@pytest.fixture(scope="module")
def phone_file(pretrained_model, stripes, tmp_path_factory):
    path = tmp_path_factory.mktemp("phone") / "m.tflite"
    tftune.export_tflite(pretrained_model, path, verify=stripes.validation)
    return path


def test_a_phone_file_alone_is_measured_as_the_model_is(phone_file, pretrained_model, stripes):
    verification = verify_export(phone_file, stripes.test)
    expected = tftune.evaluate(pretrained_model, stripes.test)
    assert verification.intact is True
    assert verification.evaluation.metrics == pytest.approx(expected.metrics, rel=1e-3)
    assert verification.passed
    assert "Its digest is the one" in str(verification)


def test_with_its_model_it_is_compared_again(phone_file, pretrained_model, stripes):
    certificate = verify_export(phone_file, stripes.test, pretrained_model).certificate
    assert certificate.num_examples == len(stripes.test)
    assert certificate.passed
    assert certificate.max_difference < 1e-4


def test_another_models_export_does_not_pass(phone_file, stripes):
    import keras

    keras.utils.set_random_seed(9)
    other = tftune.build_image_classifier("efficientnet_lite0", stripes, image_size=(64, 64))
    assert not verify_export(phone_file, stripes.test, other).passed


def test_a_changed_file_is_noticed(phone_file, stripes, tmp_path):
    for file in phone_file.parent.iterdir():
        shutil.copy(file, tmp_path)
    changed = tmp_path / "m.tflite"
    changed.write_bytes(changed.read_bytes() + b"\0")
    verification = verify_export(changed, stripes.test)
    assert verification.intact is False
    assert not verification.passed


def test_a_saved_model_is_found_by_its_folder(tiny_model, stripes, tmp_path):
    tftune.export_saved_model(tiny_model, tmp_path / "m", verify=stripes.validation)
    verification = verify_export(tmp_path / "m", stripes.test, tiny_model)
    assert Path(verification.path).name == "1"
    assert verification.intact is True
    assert verification.certificate.max_difference <= 1e-5


def test_other_classes_and_missing_exports_are_refused(phone_file, stripes, tmp_path):
    names = ("a", "b", "c")
    other = Split.of_classes("test", stripes.test.examples, stripes.test.labels, names)
    with pytest.raises(DataError, match="classes must be the model's"):
        verify_export(phone_file, other)
    with pytest.raises(ExportError, match="There is no export"):
        verify_export(tmp_path, stripes.test)


def test_a_file_of_another_tool_is_measured_by_its_labels(phone_file, stripes, tmp_path):
    """Without tftune's own description the labels and the input's shape must do."""
    written = phone_file.read_bytes()
    assert written.count(SPEC_FILE.encode()) == 2  # in the archive's entry and its directory
    other = tmp_path / "m.tflite"
    other.write_bytes(written.replace(SPEC_FILE.encode(), SPEC_FILE[::-1].encode()))
    ours, theirs = verify_export(phone_file, stripes.test), verify_export(other, stripes.test)
    assert theirs.evaluation.metrics == pytest.approx(ours.evaluation.metrics)
    names = ("a", "b", "c")
    renamed = Split.of_classes("test", stripes.test.examples, stripes.test.labels, names)
    with pytest.raises(DataError, match="classes must be the export's"):
        verify_export(other, renamed)


def test_the_benchmark_has_a_row_a_number_of_threads(phone_file):
    measured = benchmark_tflite(phone_file, threads=(1, 2), repeats=5)
    assert [cost.num_threads for cost in measured.costs] == [1, 2]
    for cost in measured.costs:
        assert 0 < cost.median_ms <= cost.p95_ms
        assert cost.peak_memory_bytes > phone_file.stat().st_size
    assert "threads" in str(measured)


def test_what_cannot_run_is_refused(tmp_path):
    (tmp_path / "m.tflite").write_bytes(np.random.default_rng(0).bytes(100))
    with pytest.raises(ExportError, match="not a .tflite file"):
        benchmark_tflite(tmp_path / "m.tflite")
