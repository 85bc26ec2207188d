"""Plans are printable, survive JSON and refuse nonsense with every reason at once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tftune.config.image_input import ImageInput
from tftune.config.phase import OPTIMIZERS, PHASE_NAMES, PRECISIONS, SCHEDULES, Phase
from tftune.config.plan import Plan
from tftune.errors import ConfigError, ModelFileError

phases = st.builds(
    Phase,
    name=st.sampled_from(PHASE_NAMES),
    unfreeze=st.sampled_from(["none", "all", 2, 0.3, "block5"]),
    epochs=st.integers(0, 100),
    learning_rate=st.floats(1e-8, 1),
    batch_size=st.one_of(st.integers(1, 512), st.just("auto")),
    optimizer=st.one_of(
        st.sampled_from(OPTIMIZERS),
        st.just({"class_name": "SGD", "config": {"nesterov": True, "momentum": 0.9}}),
    ),
    schedule=st.sampled_from(SCHEDULES),
    weight_decay=st.floats(0, 1),
    warm_up=st.floats(0, 0.99),
    layer_decay=st.floats(0.01, 1),
    clip_norm=st.floats(0, 10),
    label_smoothing=st.floats(0, 0.99),
    ema=st.floats(0, 0.999),
    l2_sp=st.floats(0, 1),
    class_weights=st.sampled_from([None, "balanced", "square_root", {"rose": 2.0}]),
    precision=st.sampled_from(PRECISIONS),
    patience=st.integers(0, 10),
    start_from_probe=st.booleans(),
    interpolate=st.booleans(),
)
plans = st.builds(
    Plan,
    phases=st.lists(phases, min_size=1, max_size=3).map(tuple),
    seed=st.integers(0, 2**31),
    augment=st.sampled_from(["none", "light", {"name": "none", "layers": [], "mix": "none"}]),
    views=st.integers(2, 9),
    cache=st.sampled_from(["disk", "off"]),
    reasons=st.dictionaries(st.text(max_size=5), st.text(max_size=9), max_size=2),
)


@given(plan=plans)
def test_a_plan_survives_json(tmp_path_factory, plan):
    path = tmp_path_factory.mktemp("plan") / "plan.json"
    plan.save(path)
    assert Plan.load(path) == plan


@given(plan=plans)
def test_every_plan_prints_within_eighty_columns(plan):
    assert max(len(line) for line in str(plan).splitlines()) <= 80
    assert "<table>" in plan._repr_html_()


def test_all_problems_of_a_phase_are_told_at_once():
    with pytest.raises(ConfigError) as raised:
        Phase("fine_tunning", "none", epochs=-1, learning_rate=float("nan"), optimizer="adamv")
    message = str(raised.value)
    assert "Did you mean 'fine_tuning'?" in message
    assert "`epochs` must be at least 0. Received: -1." in message
    assert "`learning_rate` must be above 0. Received: nan." in message
    assert "Did you mean 'adamw'?" in message or "Did you mean 'adam'?" in message


def test_json_that_is_no_plan_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="not a plan"):
        Plan.from_json({"phases": [{"name": "fine_tuning"}]})
    (tmp_path / "plan.json").write_text("{")
    with pytest.raises(ModelFileError, match=r"No plan could be read"):
        Plan.load(tmp_path / "plan.json")


def test_an_image_size_of_nothing_is_refused():
    with pytest.raises(ConfigError, match="image_size"):
        ImageInput((0, 224))


def test_phases_of_one_name_are_numbered():
    phase = Phase("fine_tuning", 1, epochs=1, learning_rate=0.1)
    assert Plan((phase, phase)).labels == ("fine_tuning", "fine_tuning_2")
