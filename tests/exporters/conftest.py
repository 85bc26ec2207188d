"""One export with everything beside it, for all tests that only read it."""

import pytest

import tftune


@pytest.fixture(scope="session")
def bundled_export(tiny_model, stripes, tmp_path_factory):
    pytest.importorskip("tensorflow_serving", reason="the extra `serving` is not installed here")
    folder = tmp_path_factory.mktemp("served") / "stripes"
    return tftune.export_saved_model(tiny_model, folder, verify=stripes.validation, bundle=True)
