"""Texts are changed at random: words left out, neighbours swapped, the same from run to run."""

import numpy as np
import pytest
import tensorflow as tf

import tftune
from tftune.config.text_input import TextInput
from tftune.data.text_examples import Texts
from tftune.errors import ConfigError
from tftune.training.views import Views

TEXTS = [" ".join(f"w{i}" for i in range(200)), "one", "", "naïve  \u00e9t\u00e9"]


def test_words_are_left_out_and_swapped_in_the_shares_asked_for():
    words = TEXTS[0].split()
    dropped = tftune.TextAugmentation(drop=0.3, swap=0).view(TEXTS[0], "0f" * 16, 0, 1).split()
    assert 0.55 < len(dropped) / len(words) < 0.85 and dropped == sorted(dropped, key=words.index)
    swapped = tftune.TextAugmentation(drop=0, swap=0.3).view(TEXTS[0], "0f" * 16, 0, 1).split()
    assert sorted(swapped) == sorted(words)
    moved = np.array([words.index(word) for word in swapped]) - np.arange(len(words))
    assert set(moved) == {-1, 0, 1} and 0.3 < np.mean(moved != 0) < 0.7


def test_a_view_depends_on_content_seed_and_number_alone():
    changes = tftune.TextAugmentation(drop=0.5)
    first = changes.view(TEXTS[0], "ab" * 16, 3, 2)
    assert first == changes.view(TEXTS[0], "ab" * 16, 3, 2)
    others = [("cd" * 16, 3, 2), ("ab" * 16, 4, 2), ("ab" * 16, 3, 1)]
    assert first not in [changes.view(TEXTS[0], *other) for other in others]
    assert changes.view(TEXTS[0], "ab" * 16, 3, 0) == TEXTS[0]
    assert changes.view("one", "ab" * 16, 3, 1) == "one" and changes.view("", "ab" * 16, 3, 1) == ""


@pytest.mark.parametrize("pairs", [False, True])
def test_views_drawn_online_are_those_of_the_cache(pairs):
    rows = [(text, text[::-1]) for text in TEXTS] if pairs else TEXTS
    examples = Texts.of(rows, list("abcd"))
    plan = tftune.Plan(
        (tftune.Phase("feature_extraction", "none", 2, 0.1),),
        augment=tftune.TextAugmentation(0.4).to_json(),
        views=3,
    )
    views = Views.of_plan(tftune.Plan.from_json(plan.to_json()))
    (cached,) = views.batches(TextInput(8, 1 + pairs), 2)(examples, 8)
    draw = views.draw(examples)
    for index, text in enumerate(cached.numpy()):
        online = draw(tf.constant(b""), tf.constant(index, tf.int64), tf.constant(5, tf.int64))
        np.testing.assert_array_equal(online.numpy(), text)
    assert plan.augmented == "words (drop 0.4, swap 0.05)"


def test_a_run_trains_on_views_where_asked(converted_bert):
    texts = [f"the film was {word}" for word in ("good", "great", "bad", "awful")] * 5
    data = tftune.load_texts(texts, ["x", "x", "y", "y"] * 5)
    model = tftune.build_text_classifier(converted_bert, data)
    assert tftune.plan(model, data, estimate=False).augment == "none"
    plan = tftune.plan(
        model, data, augment="light", head_epochs=2, fine_tune_epochs=0, estimate=False
    )
    assert plan.views == 2 and "views of 12 texts" in plan.reasons["augment"]
    run = tftune.fine_tune(model, data, plan, verbose=False, from_scratch=False)
    assert len(run.history) == 2
    with pytest.raises(ConfigError, match="'light' or a tftune.TextAugmentation"):
        tftune.plan(model, data, augment="strong", estimate=False)
