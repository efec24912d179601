"""How a search looks while it runs: a live display on a terminal, plain lines elsewhere."""

import contextlib
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from pipeline.escaping import for_screen
from pipeline.study.trial import Cause
from pipeline.wording import count_noun, wrap

if TYPE_CHECKING:
    from rich.console import RenderableType

REFRESH_SECONDS = 0.5
PLAIN_SECONDS = 30.0  # between two lines on how far the search is, when not on a terminal
_KNOWN_SHARE = 0.05  # of the budget; what less than that tells of the rest, is not said
# Of the word with which the line of a trial begins.
_STYLES = {
    "complete": "green",
    "pruned": "yellow",
    **dict.fromkeys(("stopped", "failed", "fail", "again", *Cause), "red"),
}


@dataclass(frozen=True)
class RunningTrial:
    """A trial under way.

    Attributes:
        trial: its number.
        epoch: epochs done.
        epochs: epochs at most.
        value: the metric after the last epoch, as people see it; "" before the first.
        about: its hyperparameters in a line.
    """

    trial: int
    epoch: int
    epochs: int
    value: str
    about: str


@dataclass(frozen=True)
class Snapshot:
    """A search at one moment.

    Attributes:
        study: its name.
        metric: name of the metric.
        states: number of trials by state: COMPLETE, PRUNED, FAIL.
        n_trials: budget in trials, None if there is none.
        seconds: supervisor's time so far, over all reruns.
        minutes: budget in minutes, None if there is none.
        running: trials under way.
        best: the best so far in a line, or "".
        is_ready: whether workers have done their imports.
        n_finals: number of finals that have ended, if the search has come to them.
        stage: of the finals, such as "finals, round 2 of 3".
        n_paused: number of trials that are paused.
        has_finals: whether finals come when the search is over.
    """

    study: str
    metric: str
    states: Mapping[str, int]
    n_trials: int | None
    seconds: float
    minutes: float | None
    running: tuple[RunningTrial, ...] = field(default_factory=tuple)
    best: str = ""
    is_ready: bool = True
    n_finals: int | None = None
    stage: str = ""
    n_paused: int = 0
    has_finals: bool = False

    @property
    def n_ended(self) -> int:
        """Trials that count for the budget."""
        return sum(self.states.values())

    @property
    def share(self) -> float:
        """How much of the budget is used, 0 to 1: of trials or of minutes, whichever is more."""
        shares = [0.0]
        if self.n_trials:
            shares.append(self.n_ended / self.n_trials)
        if self.minutes:
            shares.append(self.seconds / (60 * self.minutes))
        return min(1.0, max(shares))

    @property
    def budget(self) -> str:
        """What is used of the budget: `12 of 60 trials, 3.4 of 15 minutes`."""
        trials = count_noun(self.n_trials or self.n_ended, "trial")
        trials = f"{self.n_ended:,} of {trials}" if self.n_trials else trials
        used = round(self.seconds / 60, 1)
        most = round(self.minutes, 1) or self.minutes if self.minutes else used
        minutes = count_noun(most, "minute")
        said = f"{trials}, " + (f"{used:,.1f} of {minutes}" if self.minutes else minutes)
        return said if self.n_finals is None else f"{said}; {self.stage}: {self.n_finals} ended"

    @property
    def left(self) -> str:
        """How long the search will go on, as far as what is used of the budget tells; or ""."""
        share = self.share
        if self.n_finals is not None or share < _KNOWN_SHARE:
            return ""
        minutes = round(self.seconds / 60 * (1 - share) / share)
        said = f"about {count_noun(minutes, 'minute')} left" if minutes else "under a minute left"
        if share >= 1:
            said = "the last trials are under way"
        return said + ", then finals" * self.has_finals


class Progress(Protocol):
    """Shows people how a search goes.

    Attributes:
        is_due: whether a snapshot would be shown now.
    """

    @property
    def is_due(self) -> bool: ...

    def update(self, snapshot: Snapshot) -> None:
        """Shows a snapshot, after an event or when some time has passed."""

    def say(self, line: str, *, may_be_cut: bool = False) -> None:
        """Prints a line that stays.

        Args:
            line: in the words that people read.
            may_be_cut: where the screen is too narrow, as of a trial that ended as most do.
        """

    def close(self) -> None:
        """Takes the display away: the search is over."""


class PlainProgress:
    """Prints lines on stderr: what is worth keeping, and now and then how far the search is."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether the last line on how far the search is was long ago."""
        return time.monotonic() - self._last >= PLAIN_SECONDS

    def update(self, snapshot: Snapshot) -> None:
        """Prints how far the search is, if the last such line is long ago."""
        if self.is_due:
            self._last = time.monotonic()
            running = ", ".join(
                f"trial {r.trial} epoch {r.epoch}/{r.epochs}" for r in snapshot.running
            )
            n_paused, best = snapshot.n_paused, snapshot.best.partition(", ")[0]
            said = [
                snapshot.budget + f", {n_paused:,} paused" * bool(n_paused),
                *([snapshot.left] if snapshot.left else []),
                *([f"best: {best}"] if best else []),
                f"running: {running or 'none'}",
            ]
            self.say("; ".join(said))

    def say(self, line: str, *, may_be_cut: bool = False) -> None:
        """Prints a line, and all of it."""
        print(for_screen(line), file=sys.stderr, flush=True)

    def close(self) -> None:
        """Does nothing: lines need no cleaning up."""


class SilentProgress:
    """Shows nothing: nobody looks."""

    is_due = False

    def update(self, snapshot: Snapshot) -> None:
        """Does nothing."""

    def say(self, line: str, *, may_be_cut: bool = False) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Does nothing."""


class LiveProgress:
    """Redraws a display on stderr in place; lines that are kept scroll above the display."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(console=Console(stderr=True), auto_refresh=False, transient=True)
        self._restore = _without_echo_of_ctrl_c()
        self._live.start()
        self._drawn = 0.0

    @property
    def is_due(self) -> bool:
        """Whether the display is to be drawn again, twice a second at most."""
        return time.monotonic() - self._drawn >= REFRESH_SECONDS

    def update(self, snapshot: Snapshot) -> None:
        """Redraws the display, at most twice a second."""
        if self.is_due:
            self._live.update(render(snapshot), refresh=True)
            self._drawn = time.monotonic()

    def say(self, line: str, *, may_be_cut: bool = False) -> None:
        """Prints a line above the display, in several where it is too long and may not be cut."""
        from rich.text import Text

        console = self._live.console
        line = for_screen(line)
        text = Text(line if may_be_cut else wrap(line, console.width))
        how = line.partition(" ")[0]
        text.stylize(_STYLES.get(how, ""), 0, len(how))
        console.print(text, no_wrap=may_be_cut, overflow="ellipsis" if may_be_cut else "fold")

    def close(self) -> None:
        """Takes the display away."""
        self._live.stop()
        self._restore()


def _without_echo_of_ctrl_c() -> Callable[[], None]:
    """Keeps the terminal from writing ^C into the display; returns how to undo that."""
    import termios

    try:
        terminal = sys.stderr.fileno()
        before = termios.tcgetattr(terminal)
    except (OSError, ValueError, termios.error):  # no terminal after all
        return lambda: None
    quiet = [*before]
    quiet[3] &= ~termios.ECHOCTL
    termios.tcsetattr(terminal, termios.TCSADRAIN, quiet)

    def restore() -> None:
        with contextlib.suppress(termios.error):  # the terminal is gone
            termios.tcsetattr(terminal, termios.TCSADRAIN, before)

    return restore


def for_terminal() -> Progress:
    """Opens the display that suits stderr: live on a terminal that can, plain lines elsewhere."""
    if not sys.stderr.isatty():
        return PlainProgress()
    from rich.console import Console

    return PlainProgress() if Console(stderr=True).is_dumb_terminal else LiveProgress()


def render(snapshot: Snapshot) -> "RenderableType":
    """Draws a snapshot as a panel that fits 80 columns."""
    from rich import box
    from rich.console import Group
    from rich.padding import Padding
    from rich.panel import Panel
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    states = snapshot.states
    counts = Text.assemble(
        (f"{states.get('COMPLETE', 0)} complete", "green"),
        "  ",
        (f"{states.get('PRUNED', 0)} pruned", "yellow"),
        "  ",
        (f"{states.get('FAIL', 0)} failed", "red" if states.get("FAIL") else "dim"),
        f"  {len(snapshot.running)} running",
        f"  {snapshot.n_paused:,} paused" if snapshot.n_paused else "",
    )
    table = Table(box=None, padding=(0, 1), expand=True, show_header=True, header_style="dim")
    table.add_column("trial", justify="right", no_wrap=True)
    table.add_column("epoch", justify="right", no_wrap=True)
    table.add_column(snapshot.metric, justify="right", no_wrap=True)
    table.add_column("hyperparameters", ratio=1, no_wrap=True, overflow="ellipsis")
    for each in snapshot.running:
        epochs = f"{each.epoch}/{each.epochs}"
        table.add_row(str(each.trial), epochs, each.value, for_screen(each.about))
    lines: list[RenderableType] = [
        Text(snapshot.budget),
        Padding(ProgressBar(total=1.0, completed=snapshot.share), 0),  # else without a line's end
        *([Text(snapshot.left)] if snapshot.left else []),
        counts,
        table if snapshot.is_ready else Text("workers are importing TensorFlow ...", "dim"),
    ]
    if snapshot.best:
        lines.append(
            Text(f"best: {for_screen(snapshot.best)}", "bold", no_wrap=True, overflow="ellipsis")
        )
    return Panel(
        Group(*lines), title=f"study {snapshot.study}", title_align="left", box=box.ROUNDED
    )
