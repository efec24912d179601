"""A real browser for tests: headless Chromium, as Debian packages it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=15000",
    "--dump-dom",
)


def dom(url: str, scratch: Path) -> str:
    """The page as it stands once its scripts have run.

    Without Chromium the test is skipped, but fails in CI: `make browser` installs it.
    """
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None and not os.environ.get("CI"):
        pytest.skip("needs Chromium; as root on Debian: make browser")
    assert program, "Chromium is missing; `make browser` installs it"
    result = subprocess.run(
        [program, *FLAGS, f"--user-data-dir={scratch / 'chromium'}", url],
        capture_output=True,
        text=True,
        timeout=180,
        check=True,
    )
    return result.stdout
