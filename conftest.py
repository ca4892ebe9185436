"""Settings that every kind of test shares."""

import os
from pathlib import Path

import pytest

from bertlib.corpus import NotFetched, public_file

# A lab draws a still instead of sliders: see bertlib.view.lab.
os.environ["BERTLIB_STATIC"] = "1"


@pytest.fixture
def public_data(monkeypatch):
    """The public sets: in the folder that BERTLIB_DATA names, in ../shared/data, or
    fetched. On a machine that has neither them nor a network there is nothing to test.
    """
    beside = Path(__file__).resolve().parents[1] / "shared/data"
    if "BERTLIB_DATA" not in os.environ and beside.is_dir():
        monkeypatch.setenv("BERTLIB_DATA", str(beside))
    try:
        public_file("xquad.en.json")
    except NotFetched as error:
        pytest.skip(str(error))
