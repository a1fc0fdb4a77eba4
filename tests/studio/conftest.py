"""One studio and one browser for all tests of this folder."""

import pytest
import torch
from browser import Tab, chromium, require_chromium, studio


@pytest.fixture(scope="package")
def place(tmp_path_factory):
    """The folder in which the studio has its temporary files."""
    return tmp_path_factory.mktemp("studio")


@pytest.fixture(scope="package")
def address(place):
    require_chromium()
    with studio(place, "--grace", "5", "--patience", "0") as address:  # so that a search ends when a test says so
        yield address


@pytest.fixture(scope="package")
def browser():
    require_chromium()
    with chromium() as browser:
        yield browser


@pytest.fixture
def tab(browser, address):
    """A tab that may ask for nothing outside the studio, and in which no script may fail."""
    tab = Tab(browser, address)
    yield tab
    tab.close()
    assert tab.errors == []
    assert [url for url in tab.requests if not url.startswith((address, "data:", "blob:"))] == []


@pytest.fixture(scope="package")
def one_thread():
    """Let this process compute as the studio's does: sums over threads differ in the last bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
