"""Makes the pictures of the README: the top of a study's report, and its trials in MLflow's UI.

    python tests/support/screenshots.py [STUDY]

The study has been searched. The pictures lie in docs/pictures/, with few colours: a page has few.
"""

import argparse
import contextlib
import io
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import launched
from PIL import Image
from ports import free_port

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
N_COLOURS = 256
SHARPNESS = 1.4  # pixels of a picture for one of the page
MARGIN = 24  # below what is shown of the report
OF_REPORT, OF_MLFLOW = {"width": 1280, "height": 1000}, {"width": 1440, "height": 720}
MOST_SECONDS, SECONDS_TO_SETTLE = 120, 3
IN_THE_WAY = ("Close", "Hide banner")  # buttons of an assistant, and of a note on the view


def main() -> None:
    """Writes both pictures, and prints where they are."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("study", nargs="?", default="fashion_mnist")
    study = parser.parse_args().study
    if written := subprocess.run([sys.executable, "-m", "pipeline.report", study]).returncode:
        sys.exit(written)
    try:
        with launched() as chromium:
            keep("report", of_report(chromium, Path("studies", study, "report.html").resolve()))
            with served(study) as address:
                keep("mlflow", of_mlflow(chromium, address))
    except pytest.skip.Exception as missing:
        sys.exit(str(missing))


def of_report(chromium: Any, file: Path) -> bytes:
    """Takes the beginning of a report, down to the last of its answers."""
    page = chromium.new_page(viewport=OF_REPORT, device_scale_factor=SHARPNESS)
    page.goto(file.as_uri())
    page.wait_for_selector("html[data-ready]", state="attached")
    answers = page.locator(".answers").bounding_box()
    page.set_viewport_size(OF_REPORT | {"height": int(answers["y"] + answers["height"]) + MARGIN})
    return bytes(page.screenshot())


def of_mlflow(chromium: Any, address: str) -> bytes:
    """Takes the table of a study's trials."""
    page = chromium.new_page(viewport=OF_MLFLOW, device_scale_factor=SHARPNESS)
    page.goto(address)
    page.wait_for_selector(".ag-center-cols-container .ag-row", timeout=1000 * MOST_SECONDS)
    page.wait_for_timeout(1000 * SECONDS_TO_SETTLE)  # columns come one after the other
    for what in IN_THE_WAY:
        for button in page.get_by_role("button", name=what, exact=True).all():
            button.click()
    page.mouse.move(0, 0)
    page.wait_for_timeout(1000 * SECONDS_TO_SETTLE)
    return bytes(page.screenshot())


@contextlib.contextmanager
def served(study: str) -> Iterator[str]:
    """Runs `make ui` for a study; yields the address of its trials."""
    command = [sys.executable, "-m", "pipeline.ui", "mlflow", "--port", str(free_port())]
    server = subprocess.Popen([*command, "--study", study], stderr=subprocess.PIPE, text=True)
    assert server.stderr
    try:
        said = ""
        for line in server.stderr:
            said += line
            if found := re.match(r"http://\S+", line):
                yield found[0]
                return
        sys.exit(said)
    finally:
        server.send_signal(signal.SIGINT)
        server.communicate()


def keep(name: str, picture: bytes) -> None:
    """Writes a picture with few colours."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    file = PICTURES / f"{name}.png"
    few = Image.open(io.BytesIO(picture)).convert("RGB")
    few.quantize(N_COLOURS, dither=Image.Dither.NONE).save(file, optimize=True)
    print(f"{file.relative_to(PICTURES.parents[1])}: {file.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
