"""No secret in what people see: in whatever form, whoever worded it."""

import base64
import subprocess
import sys
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import PipelineError, first_line
from pipeline.masking import mask
from pipeline.store_url import StoreUrl

AWKWARD = "p@ss/w:rd +%é"


@pytest.mark.parametrize("variable", ["PIPELINE_STORAGE", "MLFLOW_TRACKING_URI"])
@pytest.mark.parametrize(
    ("url", "secret"),
    [
        ("http://bob:secret@127.0.0.1:9", "secret"),
        ("postgresql://bob:se/cr@et@host/db", "se/cr@et"),
        (f"postgresql://bob:{quote(AWKWARD, safe='')}@host/db", AWKWARD),
        ("postgresql://host/db?user=bob&password=hunter2", "hunter2"),
        ("https://ghp_0123456789@host", "ghp_0123456789"),
        ("bob:secret@host", "secret"),
    ],
)
def test_a_secret_of_a_url_is_masked_in_each_form(
    variable: str, url: str, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, url)
    for form in (url, secret, quote(secret), quote(secret, safe=""), quote_plus(secret)):
        said = f"could not connect as bob with {form!r} to the host"
        for masked in (mask(said), str(PipelineError(said)), first_line(ValueError(said))):
            assert form not in masked
            assert "***" in masked
            assert masked.endswith(" to the host")


@pytest.mark.parametrize(
    "variable", ["MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "AWS_SECRET_ACCESS_KEY"]
)
def test_a_secret_of_a_variable_is_masked(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "hunter2")
    assert mask("denied: hunter2.") == "denied: ***."
    assert mask("hunter21") == "hunter21"


def test_a_password_in_a_header_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://bob:secret@host")
    assert mask(f"Basic {base64.b64encode(b'bob:secret').decode()}") == "Basic ***"


def test_a_password_of_nobody_here_is_masked_in_a_url() -> None:
    assert mask("via http://a:b@proxy:1") == "via http://a:***@proxy:1"
    url = StoreUrl("postgresql://bob:sec/ret@somewhere/optuna")
    assert url.display == "postgresql://bob:***@somewhere/optuna"


@given(
    st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), min_size=4).filter(
        lambda secret: "*" not in secret
    )
)
def test_any_password_is_masked(secret: str) -> None:
    url = f"http://bob:{quote(secret, safe='')}@host"
    assert mask(f"found {secret} there", url) == "found *** there"
    assert f":{quote(secret, safe='')}@" not in mask(url, url)


@pytest.mark.parametrize("way", ["print(url)", "raise ValueError(url)", "warnings.warn(url)",
                                 "logging.error(url)",
                                 "threading.Thread(target=f).start()"])  # fmt: skip
def test_whatever_a_command_prints_is_masked(way: str) -> None:
    code = (
        "import logging, os, sys, threading, warnings\n"
        "from pipeline.errors import run_command\n"
        "url = os.environ['MLFLOW_TRACKING_URI']\n"
        "def f(): raise ValueError(url)\n"
        f"def main():\n    {way}\n    return 0\n"
        "sys.exit(run_command(main))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": "", "MLFLOW_TRACKING_URI": "http://bob:secret@127.0.0.1:9"},
        capture_output=True,
        text=True,
    )
    assert "http://bob:***@127.0.0.1:9" in ended.stdout + ended.stderr
    assert "secret" not in ended.stdout + ended.stderr
