"""A real browser for tests: headless Chromium, as Debian packages it."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
DUMP = ("--headless", "--virtual-time-budget=15000", "--dump-dom")


def program() -> str:
    """Where Chromium is.

    Without it the test is skipped, but fails in CI: `make browser` installs it.
    """
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None and not os.environ.get("CI"):
        pytest.skip("needs Chromium; as root on Debian: make browser")
    assert found, "Chromium is missing; `make browser` installs it"
    return found


@contextlib.contextmanager
def launched() -> Iterator[Any]:
    """A browser that a test drives: clicks, types and looks."""
    from playwright.sync_api import sync_playwright

    path = program()
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=[*FLAGS])
        try:
            yield browser
        finally:
            browser.close()


def dom(url: str, scratch: Path) -> str:
    """The page as it stands once its scripts have run."""
    result = subprocess.run(
        [program(), *FLAGS, *DUMP, f"--user-data-dir={scratch / 'chromium'}", url],
        capture_output=True,
        text=True,
        timeout=180,
        check=True,
    )
    return result.stdout
