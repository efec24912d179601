import contextlib
import os
import resource
import shutil
from pathlib import Path

import pytest
from killing import killed_at_every_step

from pipeline.tracking.outbox import Outbox, Write
from simulation.disk import SimulatedDisk
from simulation.drive import Drive
from simulation.world import World


class Receiver:
    """Takes writes until it is broken."""

    def __init__(self, n_until_broken: int = 1000) -> None:
        self.got: list[tuple[object, bytes | None]] = []
        self.n_until_broken = n_until_broken

    def __call__(self, write: Write, attachment: bytes | None) -> None:
        if len(self.got) == self.n_until_broken:
            raise ConnectionError("nobody there")
        self.got.append((write["n"], attachment))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "study.outbox"
    folder.parent.mkdir()
    return folder


def test_an_empty_outbox_leaves_nothing_on_disk(folder: Path) -> None:
    outbox = Outbox(folder)
    outbox.deliver(Receiver())
    assert len(outbox) == 0
    assert not folder.exists()


def test_it_makes_no_folder_in_the_place_of_one_that_is_gone(folder: Path) -> None:
    outbox = Outbox(folder)
    folder.parent.rmdir()
    with pytest.raises(FileNotFoundError):
        outbox.add({"n": 1})
    assert not folder.parent.exists()


def test_writes_come_out_in_order_with_their_files_and_leave_nothing_behind(folder: Path) -> None:
    outbox, receiver = Outbox(folder), Receiver()
    outbox.add({"n": 1})
    outbox.add({"n": 2}, b"model")
    outbox.add({"n": 3})
    assert len(outbox) == 3
    outbox.deliver(receiver)
    assert receiver.got == [(1, None), (2, b"model"), (3, None)]
    assert len(outbox) == 0
    assert not folder.exists()


def test_what_was_not_taken_stays_for_another_process(folder: Path) -> None:
    outbox = Outbox(folder)
    for n in range(5):
        outbox.add({"n": n}, str(n).encode() if n % 2 else None)
    first = Receiver(n_until_broken=2)
    with pytest.raises(ConnectionError):
        outbox.deliver(first)
    assert len(outbox) == 3
    second, later = Receiver(), Outbox(folder)
    later.add({"n": 5})
    later.deliver(second)
    assert [n for n, _ in first.got + second.got] == [0, 1, 2, 3, 4, 5]
    assert second.got[1] == (3, b"3")
    assert not folder.exists()


def test_files_of_what_was_sent_are_removed_at_once(folder: Path) -> None:
    outbox = Outbox(folder)
    for n in range(3):
        outbox.add({"n": n}, b"model")
    with pytest.raises(ConnectionError):
        outbox.deliver(Receiver(n_until_broken=2))
    assert len(list(folder.iterdir())) == 2  # the list and one file


def test_a_line_cut_by_a_kill_is_as_if_it_had_not_been_begun(folder: Path) -> None:
    Outbox(folder).add({"n": 1})
    with (folder / "writes.jsonl").open("a") as file:
        file.write('{"n": 2')
    Outbox(folder).add({"n": 3})
    receiver = Receiver()
    Outbox(folder).deliver(receiver)
    assert receiver.got == [(1, None), (3, None)]


def test_half_a_line_that_the_disk_took_is_taken_back(folder: Path) -> None:
    """The system takes no more than the limit of a file's size, as a full disk would."""
    outbox = Outbox(folder)
    outbox.add({"n": 1})
    whole = (folder / "writes.jsonl").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 1000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            outbox.add({"n": 2, "text": "x" * 100_000})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (folder / "writes.jsonl").read_bytes() == whole
    outbox.add({"n": 3})
    receiver = Receiver()
    Outbox(folder).deliver(receiver)
    assert receiver.got == [(1, None), (3, None)]


def test_a_kill_in_the_middle_of_delivery_sends_again_but_loses_nothing(folder: Path) -> None:
    """The list is rewritten after delivery: a kill before that leaves it as it was."""
    outbox = Outbox(folder)
    for n in range(3):
        outbox.add({"n": n}, b"model")
    pid = os.fork()
    if pid == 0:

        def killed(write: Write, attachment: bytes | None) -> None:
            if write["n"] == 1:
                os._exit(9)

        outbox.deliver(killed)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
    receiver = Receiver()
    Outbox(folder).deliver(receiver)
    assert receiver.got == [(0, b"model"), (1, b"model"), (2, b"model")]


@pytest.mark.parametrize("n_waiting", [0, 2])
def test_a_kill_at_any_step_of_keeping_leaves_nothing_that_nobody_waits_for(
    n_waiting: int, folder: Path, tmp_path: Path
) -> None:
    before = tmp_path / "before"
    before.mkdir()
    for n in range(n_waiting):
        Outbox(folder).add({"n": n}, b"model")
    if n_waiting:
        shutil.copytree(folder, before, dirs_exist_ok=True)
    n_lost = 0
    for _ in killed_at_every_step(lambda: Outbox(folder).add({"n": n_waiting}, b"model")):
        kept = Outbox(folder)
        assert n_waiting <= len(kept) <= n_waiting + 1
        n_lost += len(kept) == n_waiting
        assert folder.exists() == bool(kept)
        n_files = len(list(folder.iterdir())) if kept else 0
        assert n_files == (len(kept) + 1 if kept else 0)  # the list, and each one's file
        receiver = Receiver()
        kept.deliver(receiver)
        assert [n for n, _ in receiver.got] == list(range(len(receiver.got)))
        assert not folder.exists()
        if n_waiting:
            shutil.copytree(before, folder)
    assert n_lost > 3


@pytest.mark.parametrize("n_until_broken", [2, 1000])
def test_a_kill_at_any_step_of_delivering_leaves_nothing_when_all_is_sent(
    n_until_broken: int, folder: Path
) -> None:
    def keep() -> None:
        for n in range(4):
            Outbox(folder).add({"n": n}, b"model")

    def deliver() -> None:
        with contextlib.suppress(ConnectionError):
            Outbox(folder).deliver(Receiver(n_until_broken))

    keep()
    for _ in killed_at_every_step(deliver):
        left, receiver = Outbox(folder), Receiver()
        n_kept = len(left)
        if folder.exists():
            assert len(list(folder.iterdir())) == n_kept + 1
        left.deliver(receiver)
        assert receiver.got == [(n, b"model") for n in range(4 - n_kept, 4)]
        assert not folder.exists()
        keep()


def test_the_list_goes_before_the_files_in_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In which order a disk lists the files is its own affair: a kill would leave any of them."""
    removed: list[set[str]] = []

    def look(path: Path, **_: object) -> None:
        removed.append({each.name[:2] for each in path.iterdir()})

    outbox = Outbox(folder)
    outbox.add({"n": 1}, b"model")
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", look)
        outbox.deliver(Receiver())
    assert removed == [{"0-"}]
    assert len(Outbox(folder)) == 0
    assert not folder.exists()


def test_what_was_sent_does_not_come_back_with_a_power_failure() -> None:
    world, drive = World({}), Drive()
    disk = SimulatedDisk(world, world.begin("here"), drive)
    folder = Path("/runs/study.outbox")
    disk.make_folder(folder.parent)
    outbox = Outbox(folder, disk)
    outbox.add({"what": "model"}, b"model")
    outbox.deliver(lambda *_: None)
    drive.fail_power(0.0)
    assert len(Outbox(folder, disk)) == 0
