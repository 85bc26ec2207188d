"""A run keeps small pictures of its notable answers, and no place of the machine."""

import numpy as np
import pytest

from tftune.errors import ModelFileError
from tftune.evaluation.evaluate import evaluate_predictions
from tftune.evaluation.record import (
    describe_data,
    notable_rows,
    read_thumbnails,
    read_validation,
    write_record,
)
from tftune.results.predictions import Predictions


def _predictions(split, outputs):
    return Predictions(
        labels=split.labels,
        outputs=outputs,
        logits=None,
        indices=np.arange(len(split)),
        names=split.examples.names,
        fingerprints=split.examples.fingerprints,
    )


def test_a_record_is_read_as_it_was_written(stripes, tmp_path):
    outputs = np.full((3, 3), 0.2)
    outputs[:, 1] = 0.6  # two mistakes, one right answer
    predictions = _predictions(stripes.validation, outputs)
    evaluation = evaluate_predictions(predictions, "multiclass", stripes.class_names)
    write_record(tmp_path, evaluation, stripes)
    again = read_validation(tmp_path, {"validation": {"phase": evaluation.to_json()}})
    assert again.to_json() == evaluation.to_json()
    assert again.predictions.fingerprints == predictions.fingerprints
    pictures = read_thumbnails(tmp_path)
    assert sorted(pictures) == [0, 1, 2]
    assert all(picture.startswith(b"\xff\xd8") for picture in pictures.values())
    told = str(describe_data(stripes))
    assert "stripes" in told
    assert str(stripes.validation.examples.paths[0].rsplit("/", 3)[0]) not in told


def test_the_most_confident_mistakes_come_first():
    outputs = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.3, 0.7]])
    labels = np.array([1, 1, 1, 1])
    predictions = Predictions(labels, outputs, None, np.arange(4), ("",) * 4, ("",) * 4)
    assert notable_rows(predictions) == [0, 1, 3, 2]


def test_a_damaged_record_is_named(tmp_path):
    assert read_thumbnails(tmp_path) == {}
    (tmp_path / "thumbnails.npz").write_bytes(b"no")
    with pytest.raises(ModelFileError, match=r"thumbnails\.npz"):
        read_thumbnails(tmp_path)
    with pytest.raises(ModelFileError, match="no validation"):
        read_validation(tmp_path, {"validation": {}})
