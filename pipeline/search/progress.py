"""How a search looks while it runs: a live display on a terminal, plain lines elsewhere."""

import contextlib
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from pipeline.escaping import for_screen
from pipeline.search.snapshot import RunningTrial, Snapshot
from pipeline.study.trial import Cause
from pipeline.wording import wrap

if TYPE_CHECKING:
    from rich.console import RenderableType

REFRESH_SECONDS = 0.5
LINES_BESIDE = 9  # of the display, beside those of trials under way
MOST_IN_LINE = 20  # trials under way
PLAIN_SECONDS = 30.0  # between two lines on how far the search is, when not on a terminal
# Of the word with which the line of a trial begins.
_STYLES = {
    "complete": "green",
    "pruned": "yellow",
    **dict.fromkeys(("stopped", "failed", "fail", "again", *Cause), "red"),
}


class Progress(Protocol):
    """Shows people how a search goes."""

    @property
    def is_due(self) -> bool:
        """Whether a snapshot would be shown now."""

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
            shown, n_more = _those_shown(snapshot, MOST_IN_LINE)
            running = ", ".join(f"trial {r.trial} epoch {r.epoch}/{r.epochs}" for r in shown)
            running += f" and {n_more:,} more" if n_more else ""
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
            n_lines = self._live.console.height - LINES_BESIDE
            self._live.update(render(snapshot, max(n_lines, 1)), refresh=True)
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


def _those_shown(snapshot: Snapshot, most: int) -> tuple[Sequence[RunningTrial], int]:
    """Selects trials under way where there are too many to be shown; returns how many are not."""
    n_more = len(snapshot.running) - most
    return (snapshot.running[:most], n_more) if n_more > 0 else (snapshot.running, 0)


def render(snapshot: Snapshot, most: int = 1_000) -> "RenderableType":
    """Draws a snapshot as a panel that fits 80 columns, with so many trials at most."""
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
    shown, n_more = _those_shown(snapshot, most)
    for each in shown:
        epochs = f"{each.epoch}/{each.epochs}"
        table.add_row(str(each.trial), epochs, each.value, for_screen(each.about))
    lines: list[RenderableType] = [
        Text(snapshot.budget),
        Padding(ProgressBar(total=1.0, completed=snapshot.share), 0),  # else without a line's end
        *([Text(snapshot.left)] if snapshot.left else []),
        counts,
        table if snapshot.is_ready else Text("workers are importing TensorFlow ...", "dim"),
        *([Text(f"and {n_more:,} more", "dim")] if n_more and snapshot.is_ready else []),
    ]
    if snapshot.best:
        lines.append(
            Text(f"best: {for_screen(snapshot.best)}", "bold", no_wrap=True, overflow="ellipsis")
        )
    return Panel(
        Group(*lines), title=f"study {snapshot.study}", title_align="left", box=box.ROUNDED
    )
