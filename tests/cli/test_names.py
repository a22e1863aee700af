from __future__ import annotations

import argparse

import pytest

from raymm.cli.names import folder_name


@pytest.mark.parametrize("name", ["first", "gume-20261121", "Köln 3", "a.b", "x" * 200])
def test_names_stay_as_they_are(name: str) -> None:
    assert folder_name(name) == name


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "a\\b", ".training", "-x", "a\nb", "a\0b", "x" * 201])
def test_what_leads_out_of_the_folder_of_runs_is_no_name(name: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="names no folder"):
        folder_name(name)
