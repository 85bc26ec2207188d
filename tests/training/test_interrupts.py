"""A Ctrl-C that someone swallows still stops training, at the next batch."""

import os
import signal
import threading

import keras
import pytest

import tftune
from tftune.training.interrupts import Interrupts


@pytest.fixture(autouse=True)
def _python_handles_ctrl_c():
    """In the background of a shell it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def _plan():
    phase = tftune.Phase("feature_extraction", "none", 3, 1e-2, 6)
    return tftune.Plan((phase,))


def test_an_interrupt_swallowed_while_tracing_stops_the_run_at_the_next_batch(
    small_model, stripes, tmp_path
):
    begun = []

    def swallow(batch, logs):
        begun.append(batch)
        try:  # as TensorFlow's C++ code does around Python that it calls
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            pass

    def callbacks():
        return [keras.callbacks.LambdaCallback(on_train_batch_end=swallow)]

    before = signal.getsignal(signal.SIGINT)
    settings = {"output": tmp_path / "run", "verbose": False}
    with pytest.raises(KeyboardInterrupt):
        tftune.fine_tune(small_model, stripes, _plan(), callbacks=callbacks, **settings)
    assert begun == [0]
    assert signal.getsignal(signal.SIGINT) is before
    run = tftune.fine_tune(small_model, stripes, _plan(), **settings)
    assert len(run.history) == 3


def test_an_interrupt_after_the_last_batch_is_not_lost():
    interrupts = Interrupts()
    with pytest.raises(KeyboardInterrupt), interrupts.noted():
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            pass
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_who_handles_ctrl_c_otherwise_goes_on_doing_so(monkeypatch):
    seen = []

    def own(number, frame):
        seen.append(number)

    before = signal.signal(signal.SIGINT, own)
    try:
        with Interrupts().noted():
            assert signal.getsignal(signal.SIGINT) is own
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [signal.SIGINT]


def test_another_thread_leaves_signals_alone():
    handlers = []

    def work():
        with Interrupts().noted():
            handlers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [signal.default_int_handler]
