"""How long a browser takes to answer to who has opened a page: Chromium, without a window."""

import shutil
from pathlib import Path
from typing import Any


def seconds_until_it_answers(file: Path, n: int) -> list[float]:
    """Opens a page in a fresh tab so many times, as a reader does who double-clicks it.

    Args:
        file: the page.
        n: how many times.

    Returns:
        Seconds from the navigation until the page's scripts have run for the first time, so that
        its text can be read, scrolled, sorted and filtered; its figures are drawn afterwards, one
        at a time. Empty without Chromium.
    """
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        return []
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        return [_opened(browser.new_page(), file) for _ in range(n)]


def _opened(page: Any, file: Path) -> float:
    page.goto(file.as_uri())
    milliseconds = page.evaluate("performance.getEntriesByType('navigation')[0].domInteractive")
    return float(milliseconds) / 1000
