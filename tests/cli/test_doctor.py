"""`tftune doctor` without a file says what of an installation would fail, and how to mend it."""

import json
import socket

import pytest
from typer.testing import CliRunner

from tftune.cli import installation
from tftune.cli.installation import diagnose_installation
from tftune.cli.main import app


@pytest.fixture(autouse=True)
def online(monkeypatch):
    """A network that answers, whatever the machine has."""

    class Connection:
        def close(self):
            pass

    monkeypatch.setattr(socket, "create_connection", lambda *_: Connection())


def by_rule(diagnosis):
    return {finding.rule: finding for finding in diagnosis.findings}


@pytest.fixture
def versions(monkeypatch):
    """Make packages look like other versions, or (None) like not being there."""
    real = installation._version

    def pretend(**others):
        names = {name.replace("_", "-"): version for name, version in others.items()}
        monkeypatch.setattr(
            installation, "_version", lambda name: names[name] if name in names else real(name)
        )

    return pretend


def test_a_whole_installation_has_no_error():
    done = CliRunner().invoke(app, ["doctor", "--json"])
    told = json.loads(done.stdout)
    assert done.exit_code == 0, done.output
    assert told["kind"] == "installation" and told["healthy"]
    assert "CPU cores" in told["summary"]["devices"]


def test_a_missing_package_is_named_with_the_command_that_brings_it(versions):
    versions(pandas=None)
    diagnosis = diagnose_installation()
    assert not diagnosis.healthy
    assert by_rule(diagnosis)["package"].remedy == "pip install 'pandas>=2.2'"


def test_a_version_tftune_is_not_made_for_is_named(versions):
    versions(keras="2.15.0")
    found = by_rule(diagnose_installation())["version"]
    assert found.severity == "error" and "keras 2.15.0 is installed" in found.problem


def test_tensorflow_text_must_fit_tensorflow(versions):
    versions(tensorflow="2.21.0", tensorflow_text="2.20.1")
    found = by_rule(diagnose_installation())["tensorflow-text"]
    assert found.remedy == "pip install 'tensorflow-text==2.21.*'"


def test_another_backend_of_keras_is_an_error(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    done = CliRunner().invoke(app, ["doctor"])
    assert done.exit_code == 1
    assert "KERAS_BACKEND is 'jax'" in done.output


def test_a_cache_that_cannot_be_written_is_named(monkeypatch, tmp_path):
    (tmp_path / "taken").write_text("")
    monkeypatch.setenv("TFTUNE_CACHE", str(tmp_path / "taken"))
    found = by_rule(diagnose_installation())["folder"]
    assert str(tmp_path / "taken") in found.problem and "TFTUNE_CACHE" in found.remedy


def test_without_a_network_it_says_where_weights_go(monkeypatch):
    def refuse(*_):
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", refuse)
    found = by_rule(diagnose_installation())["network"]
    assert found.severity == "note" and "--weights FILE" in found.remedy
