"""In a notebook the curves are drawn in one place as they grow; elsewhere nothing happens."""

import sys
import types

import pytest

from tftune.training.live_plot import LivePlot, in_notebook

ROW = {"phase": "feature_extraction", "epoch": 1, "loss": 1.0, "val_loss": 1.1}
ROWS = [{**ROW, "accuracy": 0.5, "val_accuracy": 0.4, "epoch": epoch} for epoch in (1, 2)]


@pytest.fixture
def notebook(monkeypatch):
    """Stands in for IPython, which is there only in notebooks; collects what is displayed."""
    shown = []

    class Handle:
        def update(self, image):
            shown.append(("update", image.data))

    def display(image, display_id):
        shown.append(("display", image.data))
        return Handle()

    shell = types.SimpleNamespace(kernel=object())
    ipython = types.ModuleType("IPython")
    ipython.version_info = (9, 0)  # Matplotlib asks for it
    ipython.get_ipython = lambda: shell
    ipython.display = types.ModuleType("IPython.display")
    ipython.display.display = display
    ipython.display.Image = lambda data, format: types.SimpleNamespace(data=data, format=format)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", ipython.display)
    return types.SimpleNamespace(shown=shown, shell=shell)


def test_one_picture_is_shown_and_then_replaced(notebook):
    live = LivePlot()
    live.add(ROWS[0])
    live.add(ROWS[1])
    live.draw()
    assert [kind for kind, _ in notebook.shown][:1] == ["display"]
    assert {kind for kind, _ in notebook.shown[1:]} == {"update"}
    assert all(data.startswith(b"\x89PNG") for _, data in notebook.shown)


def test_a_terminal_is_no_notebook(notebook):
    del notebook.shell.kernel
    assert not in_notebook()
    live = LivePlot()
    live.add(ROWS[0])
    live.draw()
    assert notebook.shown == []


def test_without_ipython_nothing_is_drawn(monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not in_notebook()
