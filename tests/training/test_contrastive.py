"""The contrastive phase teaches an encoder which texts belong together."""

import keras
import numpy as np
import pytest

import tftune
from tftune.cache.store import ActivationStore
from tftune.errors import ConfigError
from tftune.training.checkpoint import Checkpoints
from tftune.training.contrastive import PairLoss

GOOD, BAD = ("good", "great", "fine", "loved"), ("bad", "awful", "poor", "hated")


def opinions(count):
    """Short texts that one word decides."""
    generator = np.random.default_rng(0)
    rest = ("the", "film", "movie", "it", "was", "is", "very")
    texts = [
        " ".join([*generator.choice(rest, 3), str(generator.choice(GOOD if i % 2 else BAD))])
        for i in range(count)
    ]
    return texts, ["good" if i % 2 else "bad" for i in range(count)]


def test_the_loss_is_that_of_all_pairs_with_both_kinds_of_equal_weight():
    vectors = np.array([[1, 0], [3, 4], [0, 2], [5, 5]], "float32")
    labels = np.array([[0], [0], [1], [-1]])
    # Cosines: 0.6 within the class; 0 and 0.8 between the classes; the unknown one counts nothing.
    expected = 0.5 * ((1 - 0.6) ** 2 + (0**2 + 0.8**2) / 2)
    assert float(PairLoss()(labels, vectors)) == pytest.approx(expected, abs=1e-6)
    assert float(PairLoss()(labels[:1], vectors[:1])) == 0


@pytest.fixture(scope="module")
def trained(converted_bert, tmp_path_factory):
    """A plan with a contrastive phase, and what it did to the features of validation texts."""
    keras.utils.set_random_seed(0)
    data = tftune.load_texts(*opinions(40))
    model = tftune.build_text_classifier(converted_bert, data)
    plan = tftune.plan(
        model,
        data,
        head_epochs=1,
        fine_tune_epochs=16,
        fine_tune_rate=3e-3,
        unfreeze=1,
        batch_size=8,
        contrastive=True,
        estimate=False,
    )
    # The mix could leave most of the way unmoved on so few validation texts.
    plan = plan.replace(phases=[phase.replace(interpolate=False) for phase in plan.phases])
    trunk, _ = model.cut("pooled")
    texts = list(data.train.examples.columns[0])
    before = trunk.forward(np.array(texts, object))
    lower = model.keras_model.get_layer("layer_0").get_weights()
    store = ActivationStore(tmp_path_factory.mktemp("cache"))
    run = tftune.fine_tune(model, data, plan, verbose=False, store=store)
    after = trunk.forward(np.array(texts, object))
    kept = zip(lower, model.keras_model.get_layer("layer_0").get_weights(), strict=True)
    return run, data.train.labels, before, after, all((a == b).all() for a, b in kept)


def test_texts_of_one_class_come_closer_and_frozen_layers_stay(trained):
    run, labels, before, after, lower_stayed = trained
    assert [phase.name for phase in run.plan.phases] == ["feature_extraction", "contrastive"]
    assert lower_stayed

    def gap(vectors):
        vectors = np.array(vectors)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        cosines, same = vectors @ vectors.T, labels[:, None] == labels[None, :]
        return cosines[same].mean() - cosines[~same].mean()

    assert gap(after) > gap(before) + 0.01


def test_it_is_judged_as_fine_tuning_is_beside_the_floors(trained):
    run = trained[0]
    assert {"probe", "fine-tuned", "TF-IDF", "ngrams"} <= set(run.verdict.scores)
    assert "ngrams reaches" in run.verdict.sentence
    rows = run.history[run.history.phase == "contrastive"]
    assert len(rows) == 16 and rows.loss.iloc[-1] < rows.loss.iloc[0]


@pytest.mark.slow  # three trainings of a network
def test_a_run_killed_in_it_continues_at_the_next_batch(converted_bert, tmp_path, monkeypatch):
    monkeypatch.setattr(Checkpoints, "due", property(lambda self: self.folder is not None))
    data = tftune.load_texts(*opinions(20))
    phase = tftune.Phase("contrastive", 1, 2, 3e-3, 4)
    store = ActivationStore(tmp_path / "cache")
    seen = []

    def fine_tune(stop_at=None, **settings):
        def watch(batch, logs):
            seen.append(batch)
            if len(seen) == stop_at:
                raise KeyboardInterrupt

        keras.utils.set_random_seed(0)
        model = tftune.build_text_classifier(converted_bert, data)
        run = tftune.fine_tune(
            model,
            data,
            tftune.Plan((phase,)),
            callbacks=lambda: [keras.callbacks.LambdaCallback(on_train_batch_begin=watch)],
            verbose=False,
            store=store,
            from_scratch=False,
            **settings,
        )
        return run, model.keras_model.get_weights()

    whole, weights = fine_tune()
    steps = len(seen)
    with pytest.raises(KeyboardInterrupt):
        fine_tune(stop_at=steps + 6, output=tmp_path / "run")
    seen.clear()
    continued, same = fine_tune(output=tmp_path / "run")
    assert len(seen) == steps - 5
    np.testing.assert_allclose(continued.history.loss, whole.history.loss, rtol=1e-6)
    for ours, theirs in zip(same, weights, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_one_rare_class_among_full_ones_does_not_bring_it(converted_bert):
    texts, labels = opinions(60)
    data = tftune.load_texts([*texts, *(f"question {i}" for i in range(6))], [*labels, *["?"] * 6])
    assert sorted(data.train.targets[0].counts)[0] < 16 < sorted(data.train.targets[0].counts)[1]
    model = tftune.build_text_classifier(converted_bert, data)
    assert tftune.plan(model, data, estimate=False).phases[1].name == "fine_tuning"


def test_few_texts_get_it_and_it_is_refused_where_there_are_no_classes(converted_bert):
    few = tftune.load_texts(*opinions(20))
    model = tftune.build_text_classifier(converted_bert, few)
    plan = tftune.plan(model, few, estimate=False)
    assert plan.phases[1].name == "contrastive" and "SetFit" in plan.reasons["contrastive"]
    plain = tftune.plan(model, few, contrastive=False, estimate=False)
    many = tftune.plan(model, tftune.load_texts(*opinions(60)), estimate=False)
    assert plain.phases[1].name == many.phases[1].name == "fine_tuning"
    with pytest.raises(ConfigError, match="must name a part"):
        tftune.plan(model, few, unfreeze="none", contrastive=True, estimate=False)
    numbers = tftune.load_texts(["a film"] * 20, np.arange(20) / 7)
    model = tftune.build_text_classifier(converted_bert, numbers)
    with pytest.raises(ConfigError, match="one head with one class"):
        tftune.plan(model, numbers, contrastive=True, estimate=False)
