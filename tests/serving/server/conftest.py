"""What tests of the server share: a model that answers in unusual ways, see `tests.serving.harm`."""

import pytest

from tests.serving.harm import save_odd_model


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """The base path of a model of one version."""
    folder = tmp_path_factory.mktemp("odd") / "odd"
    save_odd_model(folder / "1")
    return folder
