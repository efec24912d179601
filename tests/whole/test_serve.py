"""What keeps the champion from being served is said in a sentence, before TensorFlow is loaded."""

import socket
import sys
from pathlib import Path

import pytest
import recorded

from pipeline import serve
from pipeline.errors import run_command
from pipeline.paths import Project
from pipeline.serve import curl
from pipeline.storage import optuna_internals, study_store

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it is found out without the data, and without a server."""

    def refuse(*_: object) -> None:
        raise AssertionError("this should have been refused before")

    monkeypatch.setattr("pipeline.data.datasets.validation_sets", refuse)
    monkeypatch.setattr(serve, "serve", refuse)


def refusal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str
) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["serve", *arguments])
    code = run_command(serve.main)
    said, complaints = capsys.readouterr()
    assert said == ""
    return code, complaints


def test_a_study_that_is_none_is_refused(
    recorded_study: Project,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, said = refusal(capsys, monkeypatch, "nowhere")
    assert code == 1
    assert "no study 'nowhere' yet; studies/nowhere.toml: no such study file" in said


def test_a_study_without_a_champion_is_refused(
    recorded_study: Project,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(study_store, "ranking", lambda *_: [])
    monkeypatch.setattr(optuna_internals, "is_as_known", lambda: False)
    code, said = refusal(capsys, monkeypatch, recorded.NAME)
    assert (code, said) == (
        1,
        f"error: study {recorded.NAME!r} has no trial yet whose weights were kept\n",
    )


def test_a_champion_that_is_not_registered_is_refused_with_the_way_to_do_that(
    recorded_study: Project,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, said = refusal(capsys, monkeypatch, recorded.NAME, "--port", "5999")
    assert code == 1
    assert said == (
        f"error: no model of {recorded.NAME!r} is registered in MLflow yet: a search registers "
        "its champion when it ends, and after a kill that is done by: "
        f".venv/bin/python -m pipeline.doctor {recorded.NAME} --fix\n"
    )


def test_a_port_in_use_is_refused_with_the_way_to_another(
    recorded_study: Project,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, said = refusal(capsys, monkeypatch, recorded.NAME, "--port", str(port))
    assert code == 1
    assert said.startswith(f"error: no server can listen on 127.0.0.1:{port} (Address already in")
    assert f"make serve SERVE_PORT={port + 1}" in said or "SERVE_PORT=8081" in said
    makefile = (REPOSITORY / "Makefile").read_text()
    assert "pipeline.serve $(STUDY) --port $(SERVE_PORT)" in makefile
    assert f"SERVE_PORT ?= {serve.PORT}\n" in makefile


def test_a_port_that_is_none_is_bad_usage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["serve", "--port=0"])
    with pytest.raises(SystemExit, match="2"):
        serve.main()
    assert capsys.readouterr().err.endswith("found '0', allowed is a number from 1 to 65535\n")


def test_the_example_is_whole_if_it_is_short() -> None:
    header = "curl --silent --header 'Content-Type: application/json'"
    url = "http://127.0.0.1:5001/invocations"
    assert curl("x", 5001, '{"a": "it\'s"}') == (
        f"""{header} {url} --data '{{"a": "it'"'"'s"}}'"""
    )
    assert curl("x", 5001, "9" * 5000) == (
        f".venv/bin/python -m pipeline.predict x --request | {header} {url} --data @-"
    )
