"""Several heads on one backbone train together, each on the labels it has."""

import html

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import tftune
from tftune.errors import ConfigError, DataError
from tftune.reports.run_report import write_report

HEADS = ["hue", "tone", "marks"]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """48 images: a class, a quantity and labels, each unknown for some."""
    folder = tmp_path_factory.mktemp("several heads")
    generator = np.random.default_rng(0)
    rows = []
    for index in range(48):
        red, tone = index % 2, generator.random()
        pixels = np.full((32, 32, 3), 30) + generator.integers(0, 8, (32, 32, 3))
        pixels[..., 0] += red * 120
        pixels[..., 1] += int(tone * 200)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{index}.png")
        hue = ("dark", "red")[red] if index % 5 else ""
        marks = "|".join(name for name, yes in (("r", red), ("g", tone > 0.5)) if yes)
        split = "validation" if index % 4 == 3 else "test" if index % 4 == 2 else "train"
        rows.append((f"{index}.png", hue, f"{tone:.3f}" if index % 7 else "", marks, split))
    file = folder / "labels.csv"
    pd.DataFrame(rows, columns=["path", *HEADS, "split"]).to_csv(file, index=False)
    return file


@pytest.fixture(scope="module")
def data(table):
    return tftune.load_image_table(table, label=HEADS, split="split")


def _model(data):
    keras.utils.set_random_seed(1)
    return tftune.build_image_classifier(
        "efficientnet_lite0", data, image_size=(32, 32), weights=None, dropout=0.0
    )


def _phase(name, unfreeze, **settings):
    return tftune.Phase(name, unfreeze, 2, 1e-3, 6, **settings)


PLAN = tftune.Plan(
    (
        _phase("feature_extraction", "none", start_from_probe=True),
        _phase("fine_tuning", 1, interpolate=True, head_weights={"tone": 0.5}),
    ),
    seed=3,
)


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    return tftune.fine_tune(_model(data), data, PLAN, output=out, verbose=False)


def test_the_history_has_a_column_a_head_beside_the_sum(run):
    figures = ("loss", "hue_accuracy", "tone_error", "marks_accuracy")
    assert set(run.figures) == set(figures)
    row = run.history[run.history["phase"] == "fine_tuning"].iloc[-1]
    total = row["val_hue_loss"] + 0.5 * row["val_tone_loss"] + row["val_marks_loss"]
    assert row["val_loss"] == pytest.approx(total, rel=1e-5)


def test_every_head_is_measured_and_judged_on_the_labels_that_are_known(run, data):
    first = run.validation["fine_tuning"]
    assert [e.head for e in (first, *first.others)] == HEADS
    known = [int(target.partly_known.sum()) for target in data.validation.targets]
    verdicts = [run.verdict, *run.verdict.others]
    assert [verdict.head for verdict in verdicts] == HEADS
    assert [verdict.num_examples for verdict in verdicts] == known
    assert [e.num_examples for e in (first, *first.others)] == known
    for verdict in verdicts:
        assert verdict.sentence.startswith(f"{verdict.head}: ")
    # What was measured from the cache is what the model gives from the images.
    again = tftune.evaluate(run.model, data.validation)
    assert again.metrics["loss"] == pytest.approx(first.metrics["loss"], rel=1e-4)


def test_the_run_prints_in_80_columns_draws_and_reports_every_head(run):
    shown = str(run)
    assert max(map(len, shown.splitlines())) <= 80
    assert [axes.get_ylabel() for axes in run.plot().axes] == list(run.figures)
    page = write_report(run.folder).read_text()
    for head in HEADS:
        assert f"Verdict {head!r} on" in shown
        assert html.escape(f"Evaluation of {head!r} on validation") in page
        assert f"{head}: Fine-tuning" in page


def test_a_probe_starts_every_linear_head(data):
    """Random features of flat colours are linear enough for each of the three."""
    plan = tftune.Plan((_phase("feature_extraction", "none", start_from_probe=True),))
    plan = plan.replace(phases=(plan.phases[0].replace(epochs=0),))
    model = _model(data)
    run = tftune.fine_tune(model, data, plan, verbose=False)
    assert not run.notes
    hue = run.validation["feature_extraction"]
    tone, marks = hue.others
    assert hue.accuracy > 0.9
    assert tone.metrics["r2"] > 0.9
    assert marks.metrics["macro_f1"] > 0.9


def test_a_stopped_run_continues_and_ends_like_one_that_was_not(run, data, tmp_path):
    phases = []

    def stop_in_the_second():
        phases.append(len(phases))

        def interrupt(epoch, logs=None):
            if phases[-1]:
                raise KeyboardInterrupt

        return [keras.callbacks.LambdaCallback(on_epoch_end=interrupt)]

    settings = {"output": tmp_path / "run", "verbose": False}
    with pytest.raises(KeyboardInterrupt):
        tftune.fine_tune(_model(data), data, PLAN, callbacks=stop_in_the_second, **settings)
    again = tftune.fine_tune(_model(data), data, PLAN, **settings)
    columns = ["val_loss", "val_hue_loss", "val_tone_loss"]
    # Threads may add in another order, which six steps of training let grow a little.
    np.testing.assert_allclose(again.history[columns], run.history[columns], rtol=1e-3)
    assert [v.scores.keys() for v in (again.verdict, *again.verdict.others)] == [
        v.scores.keys() for v in (run.verdict, *run.verdict.others)
    ]


def test_what_cannot_be_trained_is_refused_before_training(data):
    unknown = data.train.targets[0].take(np.arange(len(data.train)))
    unknown.labels[:] = -1
    train = tftune.Split("train", data.train.examples, (unknown, *data.train.targets[1:]))
    empty = tftune.Dataset(train, data.validation, data.test)
    with pytest.raises(DataError, match="train split has a known 'hue'"):
        tftune.fine_tune(_model(data), empty, PLAN, verbose=False)
    plan = PLAN.replace(phases=(PLAN.phases[1].replace(head_weights={"tnoe": 1.0}),))
    with pytest.raises(ConfigError, match="Did you mean 'tone'"):
        tftune.fine_tune(_model(data), data, plan, verbose=False)


def test_a_rate_is_found_for_all_heads_together(data):
    search = tftune.find_learning_rate(_model(data), data, steps=6, verbose=False)
    assert np.isfinite(search.losses).all()


def test_probes_step_by_step_start_an_ordered_head(stripes):
    model = tftune.build_image_classifier(
        "efficientnet_lite0", stripes, image_size=(64, 64), ordered=True
    )
    phase = _phase("feature_extraction", "none", start_from_probe=True).replace(epochs=0)
    run = tftune.fine_tune(model, stripes, tftune.Plan((phase,)), verbose=False)
    assert not run.notes
    assert tftune.evaluate(model, stripes.train).accuracy == 1.0
