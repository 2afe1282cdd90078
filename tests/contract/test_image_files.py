"""What can be known of the container files without building them; `make image-test` builds them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def let_through() -> set[str]:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    return {line[1:] for line in lines if line.startswith("!")}


def test_every_package_and_all_that_is_copied_reaches_the_build() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = settings["tool"]["setuptools"]["packages"]["find"]["include"]
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)

    needed = {name.rstrip("*") for name in packages}
    needed |= {name for line in copied for name in line.split()} - {"."}
    needed.add(settings["project"]["readme"])

    assert needed <= let_through()
    assert all((ROOT / name).exists() for name in needed)


def test_the_image_runs_as_nobody_and_ends_on_a_signal() -> None:
    stages = DOCKERFILE.split("\nFROM ")

    assert re.search(r"^USER 10001:10001$", stages[-1], re.MULTILINE)
    assert re.search(r'^CMD \["', stages[-1], re.MULTILINE), "a shell would keep SIGTERM to itself"
    assert "HEALTHCHECK" in stages[-1]


def test_images_are_pinned() -> None:
    sources = [ROOT / "Dockerfile", *sorted((ROOT / "deploy").glob("*Dockerfile"))]
    bases = [
        base for path in sources for base in re.findall(r"^FROM (\S+)", path.read_text(), re.M)
    ]

    assert len(bases) == 3
    assert all(re.search(r":[\w.-]*\d[\w.-]*$", base) for base in bases)
