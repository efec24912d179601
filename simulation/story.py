"""What comes of a schedule: what is wrong in it, in a sentence, and its story."""

import re
import signal

from simulation.run import Simulation
from simulation.schedule import Schedule
from simulation.violation import Violation, end_of

MOST_SECONDS = 30  # real ones, of a schedule; few take one


class StandsStill(BaseException):
    """A schedule goes on, and takes no step in which it could be ended."""


def violation(schedule: Schedule) -> str:
    """Runs a schedule; says what is not as it must be, or "" if all is."""
    return _run(Simulation(schedule))


def _run(simulation: Simulation) -> str:
    signal.signal(signal.SIGALRM, _stand_still)
    signal.setitimer(signal.ITIMER_REAL, MOST_SECONDS)
    try:
        simulation.run()
    except Violation as found:
        return str(found)
    except StandsStill:
        return f"it goes on without an end; after {MOST_SECONDS} real seconds it was broken off"
    except Exception as error:  # of what looks at the stores: there is something it cannot read
        return f"what came of it is not to be read: {end_of(error)}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return ""


def _stand_still(*_: object) -> None:
    raise StandsStill


def kind_of(said: str) -> str:
    """Returns what violations of a kind have in common, of all that is said of one."""
    return re.split(r"[\[({:]", re.sub(r"\d+", "N", said))[0]


def story(schedule: Schedule) -> list[str]:
    """Runs a schedule, and tells each step of it in a line; at last, what is wrong."""
    simulation = Simulation(schedule, is_traced=True)
    found = _run(simulation)
    ending = f"WRONG: {found}" if found else "all is as it must be"
    return [*(simulation.world.trace or ()), ending]
