"""No secret in what people see: in whatever form, whoever worded it."""

import base64
import json
import re
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


ODBC = "DRIVER={X};SERVER=h;UID=u;PWD=hunter two&3;Encrypt=yes"
HANGUL = "\ube44\ubc00\ubc88\ud638"


@pytest.mark.parametrize("variable", ["PIPELINE_STORAGE", "DATABASE_URL"])
@pytest.mark.parametrize(
    ("url", "secret"),
    [
        (f"mssql+pyodbc:///?odbc_connect={quote_plus(ODBC)}", "hunter two&3"),
        (f"mssql+pyodbc:///?odbc_connect={quote(quote_plus(ODBC))}", "hunter two&3"),
        ("mssql://h/db?odbc_connect=SERVER%3Dh%3BPWD%3D%7Bhunter%3B2%7D", "hunter;2"),
        ("postgresql://h/db?user=u;password=hunter2", "hunter2"),
        ("postgresql://h/db?options=-c%20password%3Dhunter2", "hunter2"),
        ("https://h/c?api-version=1&sig=hun%2Fter%3D&se=2027", "hun/ter="),
        ("https://h/c?access_token=hunter2", "hunter2"),
        ("https://h/c?key=hunter2", "hunter2"),
        (f"postgresql://bob:{HANGUL}@h/db", HANGUL),
        (f"postgresql://bob:{quote(HANGUL)}@h/db", HANGUL),
    ],
)
def test_a_secret_is_found_however_deep_it_is_quoted(
    variable: str, url: str, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, url)
    percent = quote(secret, safe="")
    forms = [url, secret, repr(secret), ascii(secret), json.dumps(secret), percent, quote(percent)]
    forms += [percent.lower(), quote_plus(secret)]
    forms += [secret.encode("ascii", "backslashreplace").decode()]
    for form in forms:
        masked = mask(f"login to h with ({form}) is refused")
        assert form not in masked
        assert form.strip("'\"") not in masked
        assert "***" in masked
        assert masked.endswith(" is refused")


@pytest.mark.parametrize("password", ["p@ss/w:rd#x", "first/second?third", "one1@two2@three3"])
def test_pieces_that_a_library_makes_of_a_password_are_masked(
    password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"http://bob:{password}@somewhere:9"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
    for piece in re.findall(r"[^@/#?]{4,}", password):
        assert mask(f"found ({piece}) at somewhere") == "found (***) at somewhere"


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        *((each, "hunter2secret", "hunter2secret") for each in (
            "MYSQL_PWD", "PGPASS", "DB_PASS", "DB_PASSWORD_OLD", "GITHUB_PAT", "OPENAI_KEY",
            "SECRET_KEY_BASE", "STORAGE_SAS", "AZURE_CREDENTIAL", "dbPassword", "HF_TOKEN",
            "SERVICE_KEYS",
        )),
        ("AZURE_STORAGE_CONNECTION_STRING", "AccountName=a;AccountKey=aGk/bA==;E=1", "aGk/bA=="),
        ("SERVICEBUS", "Endpoint=sb://h/;SharedAccessKey=hunter2secret", "hunter2secret"),
        ("PGDSN", "host=h user=u password='hunter 2'", "hunter 2"),
        ("ACCOUNT_JSON", '{"user": "u", "password": "hunter2"}', "hunter2"),
    ],
)  # fmt: skip
def test_a_secret_is_known_by_the_name_of_its_variable_or_part(
    name: str, value: str, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    assert mask(f"refused: ({secret})") == "refused: (***)"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KERAS_BACKEND", "tensorflow"), ("SSH_AUTH_SOCK", "/tmp/agent"), ("PWD", "/home/bob"),
        ("OLDPWD", "/home/bob"), ("TLS_KEY_FILE", "/etc/key.pem"), ("TLS_KEY", "/etc/key.pem"),
        ("USE_TOKEN", "true"), ("HAS_SECRET", "1"), ("SORT_KEY", "trial"),
        ("KEY_NAME", "trials_1"),
        ("TOKENIZERS_PARALLELISM", "tensorflow"), ("SSH_ASKPASS", "ksshaskpass"),
        ("MONKEY_KIND", "capuchin"), ("KEYBOARD", "dvorakii"), ("PATH", "/usr/bin:/usr/sbin"),
        ("COMPASS", "northwest"), ("TOKEN_PATH", "tokens/mine"), ("MAKEFLAGS", "STUDY=quick_one"),
        ("MLFLOW_TRACKING_URI", "postgresql://h/db?sslkey=/etc/key.pem&sslmode=require"),
    ],
)  # fmt: skip
def test_what_is_no_secret_is_shown(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    assert mask(f"n=1 with {value} =1") == f"n=1 with {value} =1"


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
        [sys.executable, "-W", "default", "-c", code],
        env={"PATH": "", "MLFLOW_TRACKING_URI": "http://bob:secret@127.0.0.1:9"},
        capture_output=True,
        text=True,
    )
    assert "http://bob:***@127.0.0.1:9" in ended.stdout + ended.stderr
    assert "secret" not in ended.stdout + ended.stderr
