"""A finished run made by hand, with everything a report shows and no training."""

import numpy as np
import pandas as pd
import pytest

from tftune.atomic import write_json
from tftune.config.phase import Phase
from tftune.config.plan import Plan
from tftune.evaluation.evaluate import evaluate_predictions
from tftune.evaluation.record import THUMBNAILS_FILE, _as_arrays, jpeg, notable_rows
from tftune.results.predictions import Predictions

CLASS_NAMES = ("daisy", "rose", "<b>tulip</b>", "sunflower")


def predictions_of(count=160, seed=0):
    """Answers that are mostly right, and wrong more often about roses."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 4, count)
    logits = generator.normal(0, 1, (count, 4))
    logits[np.arange(count), labels] += np.where(labels == 1, 1.0, 2.8)
    outputs = np.exp(1.6 * logits)
    outputs /= outputs.sum(axis=1, keepdims=True)
    names = tuple(f"/home/someone/flowers/{CLASS_NAMES[k]}/{i}.jpg" for i, k in enumerate(labels))
    digests = tuple(f"{index:032d}" for index in range(count))
    return Predictions(labels, outputs.astype(np.float32), logits, np.arange(count), names, digests)


def picture(label, index):
    """A disc of the class's colour on noise."""
    colours = ((245, 245, 220), (200, 30, 60), (230, 120, 40), (250, 210, 40))
    rows, columns = np.mgrid[:72, :96]
    pixels = np.random.default_rng(index).integers(30, 90, (72, 96, 3)).astype(np.uint8)
    pixels[(rows - 36) ** 2 + (columns - 48) ** 2 < 700] = colours[label]
    return pixels


def write_run(folder):
    """Write what a finished training leaves, but for the model."""
    folder.mkdir(parents=True)
    Plan(
        (
            Phase("feature_extraction", "none", epochs=3, learning_rate=1e-3),
            Phase("fine_tuning", 2, epochs=2, learning_rate=3e-4),
        )
    ).save(folder / "plan.json")
    answers = predictions_of()
    evaluation = evaluate_predictions(answers, "multiclass", CLASS_NAMES)
    evaluation = type(evaluation).from_json({**evaluation.to_json(), "split": "validation"})
    counts = {
        name: int(n) for name, n in zip(CLASS_NAMES, np.bincount(answers.labels), strict=True)
    }
    split = {"examples": 160, "fingerprint": "a" * 32, "counts": {"label": counts}}
    write_json(
        folder / "data.json",
        {
            "source": "flowers",
            "fingerprint": "f" * 32,
            "tasks": {"label": "multiclass"},
            "splits": {"train": split, "validation": split, "test": split},
            "notes": ["Ready-made splits kept as they are."],
            "skipped": 0,
        },
    )
    packages = {"tftune": "0.1.0", "keras": "3.15"}
    write_json(
        folder / "environment.json",
        {"python": "3.11", "platform": "Linux", "cpu_count": 2, "packages": packages},
    )
    rows = [
        {
            "phase": "feature_extraction" if epoch < 3 else "fine_tuning",
            "epoch": epoch % 3 + 1,
            "loss": 1.2 / (epoch + 1),
            "accuracy": 0.6 + 0.06 * epoch,
            "val_loss": 1.3 / (epoch + 1),
            "val_accuracy": 0.58 + 0.05 * epoch,
            "learning_rate": 1e-3,
            "seconds": 0.5,
        }
        for epoch in range(5)
    ]
    pd.DataFrame(rows).to_csv(folder / "history.csv", index=False)
    interval = {"value": 0.8, "low": 0.74, "high": 0.86, "level": 0.95}
    verdict = {
        "sentence": "Fine-tuning helped: validation accuracy 0.800 against 0.750.",
        "metric": "accuracy",
        "scores": {"probe": interval, "fine-tuned": interval},
        "gain": interval,
        "p_value": 0.01,
        "num_examples": 160,
    }
    answers.save(folder / "validation.npz")
    kept = {row: jpeg(picture(int(answers.labels[row]), row)) for row in notable_rows(answers)}
    np.savez(folder / THUMBNAILS_FILE, **_as_arrays(kept))
    write_json(
        folder / "metrics.json",
        {
            "validation": {"fine_tuning": evaluation.to_json()},
            "verdict": verdict,
            "timings_seconds": {"feature_extraction cache": 12.0, "fine_tuning train": 30.5},
            "notes": ["Temperature 1.4 for 'label'."],
            "data_fingerprint": "f" * 32,
        },
    )
    return folder


@pytest.fixture(scope="package")
def run_folder(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "flowers")
