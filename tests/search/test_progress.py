"""How a search looks: a panel that fits 80 columns, or plain lines."""

import io
import re
from typing import Any, Literal

import pytest
from rich.console import Console

from pipeline.search import progress
from pipeline.search.progress import LiveProgress, PlainProgress
from pipeline.search.snapshot import RunningTrial, Snapshot

Color = Literal["standard", None]
LONG = "512-512-512-512 relu, dropout 0.123, sgd 0.000123 nesterov momentum 0.987, batch 256"


def snapshot(**changes: Any) -> Snapshot:
    known: dict[str, Any] = {
        "study": "fashion_mnist",
        "metric": "val_accuracy",
        "states": {"COMPLETE": 7, "PRUNED": 4, "FAIL": 1},
        "n_trials": 60,
        "seconds": 204.0,
        "minutes": 15.0,
        "running": (
            RunningTrial(12, 3, 20, "0.8765", LONG),
            RunningTrial(13, 0, 40, "", "no hidden layer, adam 0.001, batch 32"),
        ),
        "best": f"trial 9: val_accuracy 0.8912, {LONG}",
    }
    return Snapshot(**(known | changes))


def drawn(shown: Snapshot, width: int = 80, color: Color = None) -> list[str]:
    console = Console(width=width, file=io.StringIO(), force_terminal=False, color_system=color)
    console.print(progress.render(shown))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_it_shows_budget_states_running_trials_and_the_best() -> None:
    text = "\n".join(drawn(snapshot()))
    assert "study fashion_mnist" in text
    assert "12 of 60 trials, 3.4 of 15 minutes" in text
    assert "about 12 minutes left" in text
    assert "7 complete  4 pruned  1 failed  2 running" in text
    assert "2 running  3 paused" in "\n".join(drawn(snapshot(n_paused=3)))
    assert "best: trial 9: val_accuracy 0.8912, 512-512" in text
    rows = [line.strip("│ ").split() for line in drawn(snapshot())]
    assert ["trial", "epoch", "val_accuracy", "hyperparameters"] in rows
    assert ["12", "3/20", "0.8765", "512-512-512-512", "relu,"] in [row[:5] for row in rows]
    assert ["13", "0/40", "no", "hidden", "layer,"] in [row[:5] for row in rows]


@pytest.mark.parametrize("color", ["standard", None])
def test_the_bar_has_a_line_of_its_own(color: Color) -> None:
    lines = drawn(snapshot(), color=color)
    assert [i for i, line in enumerate(lines) if "━" in line] == [2]
    assert "about 12 minutes left" in re.sub("\x1b.*?m", "", lines[3])


@pytest.mark.parametrize(
    "shown",
    [
        snapshot(),
        snapshot(study="x" * 100),
        snapshot(running=(), best="", states={}),
        snapshot(is_ready=False),
        snapshot(states={"COMPLETE": 10**5, "PRUNED": 10**5, "FAIL": 10**5}, n_trials=10**7),
        snapshot(running=(RunningTrial(10**6, 99_999, 100_000, "123,457", LONG * 3),)),
        snapshot(best=f"trial 9: {LONG * 3}"),
    ],
)
@pytest.mark.parametrize("width", [80, 60])
def test_no_line_is_longer_than_the_terminal(shown: Snapshot, width: int) -> None:
    lines = drawn(shown, width)
    assert max(map(len, lines)) == width  # the panel's own frame
    n_running = 1 + len(shown.running) if shown.is_ready else 1
    assert len(lines) == 2 + 3 + bool(shown.left) + n_running + bool(shown.best)


def test_a_long_line_says_that_it_goes_on() -> None:
    lines = drawn(snapshot())
    assert next(line for line in lines if "3/20" in line).rstrip("│ ").endswith("…")
    assert next(line for line in lines if "best:" in line).rstrip("│ ").endswith("…")


def test_before_the_first_epoch_it_says_what_it_waits_for() -> None:
    text = "\n".join(drawn(snapshot(is_ready=False)))
    assert "workers are importing TensorFlow" in text
    assert "epoch" not in text


@pytest.mark.parametrize(
    ("n_trials", "minutes", "text"),
    [
        (60, 15.0, "12 of 60 trials, 3.4 of 15 minutes"),
        (60, None, "12 of 60 trials, 3.4 minutes"),
        (None, 1.5, "12 trials, 3.4 of 1.5 minutes"),
    ],
)
def test_what_is_used_of_the_budget(
    n_trials: int | None, minutes: float | None, text: str
) -> None:
    assert snapshot(n_trials=n_trials, minutes=minutes).budget == text


@pytest.mark.parametrize(
    ("n_ended", "seconds", "budget", "text"),
    [
        (1, 60.0, (None, None), "1 trial, 1 minute"),
        (0, 6.0, (None, None), "0 trials, 0.1 minutes"),
        (0, 60.0, (1, 1.0), "0 of 1 trial, 1.0 of 1 minute"),
        (1, 0.0, (2, 0.5), "1 of 2 trials, 0.0 of 0.5 minutes"),
        (1_200, 60.0, (5_000, 90.0), "1,200 of 5,000 trials, 1.0 of 90 minutes"),
        (1, 60.0, (2, 0.96), "1 of 2 trials, 1.0 of 1 minute"),
        (1, 0.6, (2, 0.01), "1 of 2 trials, 0.0 of 0.01 minutes"),
    ],
)
def test_one_is_not_several(
    n_ended: int, seconds: float, budget: tuple[int | None, float | None], text: str
) -> None:
    changes = {"n_trials": budget[0], "minutes": budget[1], "seconds": seconds}
    assert snapshot(states={"COMPLETE": n_ended}, **changes).budget == text


@pytest.mark.parametrize(
    ("n_trials", "minutes", "share"),
    [(60, None, 0.2), (None, 6.8, 0.5), (60, 6.8, 0.5), (24, 6.8, 0.5), (10, None, 1.0)],
)
def test_the_share_is_of_what_ends_first(
    n_trials: int | None, minutes: float | None, share: float
) -> None:
    assert snapshot(n_trials=n_trials, minutes=minutes).share == pytest.approx(share)


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        ({}, "about 12 minutes left"),
        ({"has_finals": True}, "about 12 minutes left, then finals"),
        ({"seconds": 840.0}, "about 1 minute left"),
        ({"seconds": 890.0, "has_finals": True}, "under a minute left, then finals"),
        ({"seconds": 901.0}, "the last trials are under way"),
        ({"n_trials": 24, "minutes": None}, "about 3 minutes left"),
        ({"states": {}, "seconds": 10.0}, ""),
        ({"n_trials": None, "minutes": None}, ""),
        ({"n_finals": 1, "stage": "finals, round 1 of 2"}, ""),
    ],
)
def test_how_long_it_goes_on_is_said_once_that_can_be_told(
    changes: dict[str, Any], left: str
) -> None:
    assert snapshot(**changes).left == left


def test_a_search_that_has_not_begun_has_used_nothing() -> None:
    fresh = snapshot(states={}, seconds=0.0)
    assert (fresh.n_ended, fresh.share) == (0, 0.0)
    assert fresh.budget == "0 of 60 trials, 0.0 of 15 minutes"


# Plain lines


def test_plain_lines_go_to_stderr_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    plain = PlainProgress()
    plain.say("complete trial 3: [bold] 0.88")
    plain.close()
    assert capsys.readouterr() == ("", "complete trial 3: [bold] 0.88\n")


def test_plain_lines_tell_how_far_the_search_is_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = PlainProgress()
    plain.update(snapshot())
    assert capsys.readouterr().err == ""  # too soon
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 0.0)
    plain.update(snapshot())
    plain.update(snapshot(running=()))
    plain.update(snapshot(n_paused=3, minutes=None, n_trials=None, best=""))
    so_far = "12 of 60 trials, 3.4 of 15 minutes; about 12 minutes left; best: trial 9: "
    so_far += "val_accuracy 0.8912"
    assert capsys.readouterr().err.splitlines() == [
        f"{so_far}; running: trial 12 epoch 3/20, trial 13 epoch 0/40",
        f"{so_far}; running: none",
        "12 trials, 3.4 minutes, 3 paused; running: trial 12 epoch 3/20, trial 13 epoch 0/40",
    ]


def test_stderr_that_is_no_terminal_gets_plain_lines() -> None:
    assert isinstance(progress.for_terminal(), PlainProgress)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        raise OSError


@pytest.mark.parametrize(("term", "is_live"), [("xterm-256color", True), ("dumb", False)])
def test_a_terminal_that_cannot_redraw_gets_plain_lines(
    term: str, is_live: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr("sys.stderr", Terminal())
    shown = progress.for_terminal()
    shown.close()
    assert isinstance(shown, LiveProgress) is is_live


# The live display


@pytest.mark.parametrize("width", [40, 80])
def test_why_a_trial_broke_off_is_read_whole_on_a_narrow_terminal(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    live = LiveProgress()
    live.say(f"pruned   trial 4: 0.8, {LONG}", may_be_cut=True)
    live.say(f"failed   trial 3: no value, {LONG} (its process was killed)")
    live.close()
    lines = capsys.readouterr().err.splitlines()
    cut = lines.index(next(line for line in lines if line.startswith("pruned")))
    assert lines[cut].endswith("…")
    assert lines[cut + 1].startswith("failed   trial 3")
    assert " ".join(" ".join(lines[cut + 1 :]).split()).endswith("(its process was killed)")
    assert max(map(len, lines)) <= width


def test_the_live_display_keeps_lines_and_leaves_nothing_behind(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "REFRESH_SECONDS", 0.0)
    live = LiveProgress()
    live.update(snapshot())
    live.say("complete trial 3: [bold] 0.88")
    live.close()
    live.close()  # a second time does no harm
    said, complaints = capsys.readouterr()
    assert said == ""
    assert "complete trial 3: [bold] 0.88\n" in complaints


def test_of_a_thousand_trials_those_are_shown_for_which_there_is_room(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    many = snapshot(running=tuple(RunningTrial(n, 1, 9, "0.5", "relu") for n in range(1_000)))
    console = Console(width=80, file=io.StringIO())
    console.print(progress.render(many, most=3))
    assert isinstance(console.file, io.StringIO)
    lines = [line.strip("│ ") for line in console.file.getvalue().splitlines()]
    assert "and 997 more" in lines
    assert sum(line.endswith("relu") for line in lines) == 3
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 0.0)
    PlainProgress().update(many)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("trial 19 epoch 1/9 and 980 more")
