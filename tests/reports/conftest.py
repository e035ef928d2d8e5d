"""Fixtures of the tests of pages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from selenium import webdriver
from support.browser import chromium


@pytest.fixture(scope="module")
def chrome() -> Iterator[webdriver.Chrome]:
    """A browser for the tests of one module."""
    with chromium() as chrome:
        yield chrome
