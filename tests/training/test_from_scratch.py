"""On request a copy with random weights is trained for as long, and the verdict tells of it."""

import numpy as np

import tftune


def test_the_verdict_says_whether_transfer_was_negative(small_model, stripes):
    head = tftune.Phase("feature_extraction", "none", 1, 1e-3, 6, start_from_probe=True)
    plan = tftune.Plan((head, tftune.Phase("fine_tuning", 1, 1, 1e-3, 6)))
    run = tftune.fine_tune(small_model, stripes, plan, verbose=False, from_scratch=True)
    assert list(run.verdict.scores)[-1] == "from scratch"
    assert "from scratch the same budget gave" in run.verdict.sentence
    assert "Transfer was" in run.verdict.sentence
    assert set(run.history["phase"]) == {"feature_extraction", "fine_tuning"}
    # The copy is another network: what was trained before it is untouched, and still evaluates so.
    again = tftune.evaluate(small_model, stripes.validation)
    assert np.isclose(
        again.metrics["loss"], run.validation["fine_tuning"].metrics["loss"], rtol=1e-4
    )
