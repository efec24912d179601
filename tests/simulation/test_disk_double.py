"""Holds the simulated disk against the system's: same calls, same results, same errors."""

import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.disk import Disk, IsHeld, SystemDisk
from simulation.disk import SimulatedDisk
from simulation.drive import Drive
from simulation.world import World

# Places of which some lie in others; what is at one of them may be a file, a folder, or nothing.
PLACES = st.sampled_from(("a", "b", "d", "d/a", "d/e", "d/e/a"))
CONTENTS = st.sampled_from((b"", b"x", b"some more"))
PLAIN = (
    "read", "sync", "unlink", "size", "is_file", "is_folder", "list", "remove_folder",
    "remove_tree",
)  # fmt: skip
CALLS = st.one_of(
    st.tuples(st.sampled_from(PLAIN), PLACES),
    st.tuples(st.just("list"), st.just(".")),
    st.tuples(st.sampled_from(("write", "append")), PLACES, CONTENTS),
    st.tuples(st.just("truncate"), PLACES, st.integers(0, 4)),
    st.tuples(st.just("rename"), PLACES, PLACES),
    st.tuples(st.just("make_folder"), PLACES, st.booleans()),
    st.tuples(st.just("make_scratch"), PLACES),
)
LOCKS = st.one_of(
    st.tuples(st.integers(0, 1), st.sampled_from(("lock", "let go", "write")), PLACES),
    st.tuples(st.integers(0, 1), st.just("hold"), st.sampled_from(("a", "new/a"))),
)
FEW = settings(max_examples=200, deadline=None, derandomize=True, database=None)


def simulated(n: int = 1) -> list[Disk]:
    """The disks of processes that share a drive, on which the folder `/x` is."""
    world, drive = World({}), Drive()
    disks: list[Disk] = [SimulatedDisk(world, world.begin("here"), drive) for _ in range(n)]
    disks[0].make_folder(Path("/x"))
    return disks


def outcome(call: Callable[..., Any], disk: Disk, folder: Path, *arguments: Any) -> object:
    """What a call returns, with paths as they are in a folder; or which error it raises."""
    try:
        found = call(disk, folder, *arguments)
    except OSError as error:
        return type(error), error.errno
    except IsHeld:
        return IsHeld
    if isinstance(found, list):
        return [str(each.relative_to(folder)) for each in found]
    return found


def do(disk: Disk, folder: Path, name: str, place: str, *more: Any) -> Any:
    path = folder / place
    match name:
        case "rename" if disk.is_folder(path) or folder / more[0] in path.parents:
            return None  # it is asked of files alone, and for a place of their own
        case "size" if disk.is_folder(path):  # is what the file system makes of it
            return None
        case "rename":
            return disk.rename(path, folder / more[0])
        case "make_folder":
            return disk.make_folder(path, parents=more[0])
        case "make_scratch":  # its name is another each time, so it goes at once
            made = disk.make_scratch(path, "begin-", "-end")
            is_there = disk.is_folder(made)
            disk.remove_folder(made)
            return made.parent == path, made.name[:6], made.name[-4:], is_there
    return getattr(disk, name)(path, *more)


def contents(disk: Disk, folder: Path, under: str = ".") -> dict[str, bytes | None]:
    """All that is in a folder: the bytes of each file, None for a folder."""
    found: dict[str, bytes | None] = {}
    for path in disk.list(folder / under):
        place = str(path.relative_to(folder))
        if disk.is_folder(path):
            found |= {place: None, **contents(disk, folder, place)}
        else:
            found[place] = disk.read(path)
    return found


@FEW
@given(st.lists(CALLS, max_size=25))
@example([("write", "a", b"some"), ("truncate", "a", 2), ("append", "a", b"x"), ("read", "a")])
@example([("write", "a", b"x"), ("truncate", "a", 4), ("write", "b", b"y"), ("rename", "a", "b")])
@example([("write", "b", b"x"), ("make_folder", "a", True), ("list", ".")])
@example([("make_folder", "d/e", True), ("write", "d/e/a", b"x"), ("remove_tree", "d")])
def test_what_is_done_to_files_comes_out_as_on_a_real_disk(
    calls: "list[tuple[Any, ...]]",
) -> None:
    (double,), real = simulated(), SystemDisk()
    with tempfile.TemporaryDirectory() as name:
        for call in calls:
            here, there = (
                outcome(do, disk, folder, *call)
                for disk, folder in ((double, Path("/x")), (real, Path(name)))
            )
            assert here == there, call
        assert contents(double, Path("/x")) == contents(real, Path(name))


@FEW
@given(st.lists(LOCKS, max_size=20))
def test_locks_are_refused_as_by_a_real_disk(calls: "list[tuple[Any, ...]]") -> None:
    """To the system another descriptor is as another process."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as held:
        real: list[Disk] = [SystemDisk(), SystemDisk()]
        worlds = [(simulated(2), Path("/x")), (real, Path(name))]
        stacks = [[held.enter_context(contextlib.ExitStack()) for _ in range(2)] for _ in worlds]
        for who, what, place in calls:
            here, there = (
                outcome(lock, disks[who], folder, own[who], what, place)
                for (disks, folder), own in zip(worlds, stacks, strict=True)
            )
            assert here == there, (who, what, place)
        for own in stacks:
            for each in own:
                each.close()
        assert contents(worlds[0][0][0], Path("/x")) == contents(real[0], Path(name))


def lock(disk: Disk, folder: Path, own: contextlib.ExitStack, what: str, place: str) -> None:
    match what:
        case "lock":
            own.callback(disk.lock(folder / place, wait=False))
        case "hold":
            own.enter_context(disk.hold(folder / place))
        case "write":
            disk.write(folder / place, b"x")
        case _:
            own.close()


def test_a_temporary_folder_is_there_as_long_as_it_is_used() -> None:
    for disk in (*simulated(), SystemDisk()):
        with disk.temporary_folder() as folder:
            disk.write(folder / "a", b"x")
            disk.make_folder(folder / "b")
            disk.write(folder / "b" / "c", b"x")
            assert disk.list(folder) == [folder / "a", folder / "b"]
        assert not disk.is_folder(folder)
        assert not disk.is_file(folder / "b" / "c")
