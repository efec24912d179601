"""Simulates searches under faults, as many as time allows, and tells of the first that goes wrong.

    python -m simulation [--minutes M] [--jobs N] [--seed N]

Every schedule follows from one number: with it, `--seed` shows what happened, again and again.
"""

import argparse
import multiprocessing
import os
import random
import sys
import time
from collections.abc import Iterator, Mapping
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from pipeline.cores import n_cores
from pipeline.errors import DONE, FAILED, UsageError, run_command

SAID_SECONDS = 10.0  # between two lines that tell how far it is
SEEDS = 10**9


def main() -> int:
    """Returns 0 if all is as it must be, and 1 after the story of a schedule that is not."""
    arguments = _parse(sys.argv[1:])
    if arguments.seed is not None:
        from simulation.schedule import from_seed
        from simulation.story import violation

        found = violation(from_seed(arguments.seed))
        if found and arguments.terse:
            print(found)
            return FAILED
        if not found:
            print(f"seed {arguments.seed}: all is as it must be")
            return DONE
        tell(arguments.seed)
        return FAILED
    first = arguments.first if arguments.first is not None else random.randrange(SEEDS)
    print(f"seeds from {first:,}, on {arguments.jobs} cores, for {arguments.minutes:g} minutes")
    n, wrong = run_many(first, arguments.jobs, 60 * arguments.minutes)
    if wrong is None:
        print(f"{n:,} schedules, and all is as it must be")
        return DONE
    if arguments.terse:
        print(f"seed {wrong} goes wrong")
    else:
        tell(wrong)
    return FAILED


def run_many(first: int, n_jobs: int, seconds: float) -> tuple[int, int | None]:
    """Runs schedules in processes of their own, until the time is over or one goes wrong.

    Args:
        first: seed of the first; the next one is of the next number.
        n_jobs: number of processes.
        seconds: for which they run.

    Returns:
        How many were run, and the seed of one that went wrong; None if none did.
    """
    # what all of them need is imported once
    import pipeline.search.run_study  # noqa: F401
    import simulation.run  # noqa: F401

    context = multiprocessing.get_context("fork")
    until = time.monotonic() + seconds
    processes: dict[Connection, BaseProcess] = {}
    for i in range(n_jobs):
        receiver, sender = context.Pipe(duplex=False)
        arguments = (sender, range(first + i, SEEDS * 2, n_jobs), until)
        processes[receiver] = context.Process(target=_run_some, args=arguments, daemon=True)
        processes[receiver].start()
        sender.close()
    try:
        return _hear(processes, seconds)
    finally:
        for process in processes.values():
            process.kill()
            process.join()


def _hear(processes: "Mapping[Connection, BaseProcess]", seconds: float) -> tuple[int, int | None]:
    n, begun, said, receivers = 0, time.monotonic(), time.monotonic(), [*processes]
    while receivers:
        for receiver in wait(receivers, SAID_SECONDS):
            assert isinstance(receiver, Connection)
            try:
                n_more, wrong = receiver.recv()
            except EOFError:
                receivers.remove(receiver)
                processes[receiver].join()
                if processes[receiver].exitcode:  # a bug of the simulator; it has printed it
                    raise RuntimeError("a process that simulates has died") from None
                continue
            n += n_more
            if wrong is not None:
                return n, wrong
        now = time.monotonic()
        if now - said >= SAID_SECONDS:
            said = now
            rate = n / (now - begun)
            print(f"{n:,} schedules in {now - begun:.0f} of {seconds:.0f} s, "
                  f"{3600 * rate:,.0f} an hour", flush=True)  # fmt: skip
    return n, None


def _run_some(sender: Connection, seeds: range, until: float) -> None:
    from simulation.schedule import from_seed
    from simulation.story import violation

    n, said = 0, time.monotonic()
    for seed in seeds:
        is_wrong = bool(violation(from_seed(seed)))
        n += 1
        now = time.monotonic()
        if is_wrong or now >= until or now - said > 1:
            sender.send((n, seed if is_wrong else None))
            n, said = 0, now
        if is_wrong or now >= until:
            break
    sender.close()


def tell(seed: int) -> None:
    """Prints the shortest story that goes wrong in the same way as a schedule."""
    from simulation.schedule import from_seed
    from simulation.shrink import shrink
    from simulation.story import story

    print(f"seed {seed} goes wrong; looking for its shortest story ...", flush=True)
    schedule = shrink(from_seed(seed))
    print(f"\n{schedule}\n")
    for line in condensed(story(schedule)):
        print(line)
    print(f"\nagain with: make simulate SEED={seed}")


def condensed(lines: list[str], n_around: int = 4) -> Iterator[str]:
    """Yields the lines near what happens, near where processes begin or end, and the last."""
    marks = [i for i, line in enumerate(lines) if "<--" in line or line.startswith("process")]
    shown = {i for mark in marks for i in range(mark - n_around, mark + n_around + 1)}
    shown |= set(range(len(lines) - 2 * n_around, len(lines)))
    before = -1
    for i, line in enumerate(lines):
        if i in shown:
            if i > before + 1:
                yield f"         ... {i - before - 1} steps"
            yield line
            before = i


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m simulation", description="Simulates searches under faults."
    )
    parser.add_argument("--minutes", type=float, default=1.0, help="how long (default: 1)")
    parser.add_argument("--jobs", type=int, default=n_cores(), help="processes (default: cores)")
    parser.add_argument("--seed", type=int, help="runs one schedule, and tells its story if wrong")
    parser.add_argument("--first", type=int, help="seed to begin with (default: a fresh one)")
    parser.add_argument("--terse", action="store_true", help="name the seed, and tell no story")
    parsed = parser.parse_args(arguments)
    if not parsed.minutes > 0 or parsed.jobs < 1:
        raise UsageError(
            f"--minutes, --jobs: found {parsed.minutes:g}, {parsed.jobs}, allowed are more than 0"
        )
    return parsed


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(run_command(main))
