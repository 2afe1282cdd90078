"""`python -m adserver` is `adserver`."""

from adserver.cli import app

app()
