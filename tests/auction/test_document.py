"""The document of the auction names real tests and real cases."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parent.parent
DOCUMENT = (TESTS.parent / "docs" / "auction.md").read_text()


def test_every_test_the_document_names_exists():
    sources = "".join(path.read_text() for path in TESTS.rglob("*.py"))

    named = set(re.findall(r"\b(test_[a-z0-9_]+)`", DOCUMENT))

    assert len(named) > 10
    assert {name for name in named if f"def {name}(" not in sources} == set()


def test_every_case_the_document_names_exists():
    named = set(re.findall(r"`([a-z0-9]+(?:-[a-z0-9]+){3,})`", DOCUMENT))

    assert len(named) >= 9
    assert {name for name in named if not (TESTS / "exemplary" / f"{name}.json").exists()} == set()
