"""Runs a schedule: the pipeline's own code, in a world that has no other part in it."""

import contextlib
import errno
import functools
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import optuna

from pipeline.doctor.examine import examine
from pipeline.errors import DONE, FAILED, INTERRUPTED, PipelineError
from pipeline.outside import Outside
from pipeline.paths import Project
from pipeline.search.interruption import Interruption
from pipeline.search.session import search_interruptibly
from pipeline.storage import study_store
from pipeline.store_url import StoreUrl
from pipeline.study.trial import Trial, select_counted
from simulation import invariants, mirror
from simulation.disk import SimulatedDisk
from simulation.drive import Drive
from simulation.faults import Fault, What
from simulation.losses import lose
from simulation.mirror import may_have_no_champion
from simulation.mlflow_client import SimulatedClient
from simulation.mlflow_store import MlflowStore
from simulation.optuna_store import OptunaStore, SimulatedStorage
from simulation.scenario import NAME, Scenario, curves
from simulation.schedule import LOOK, MEND, MENDING, SEARCH, Schedule
from simulation.violation import Violation, end_of
from simulation.workers import SimulatedWorkers
from simulation.world import Killed, Process, SimulatedClock, SimulatedHost, World

MOST_LAST_LIVES = 3  # without any fault, of which the last is to come to the end
OUTAGES_END = 200.0  # seconds, after which all is in reach
HERE, ELSEWHERE = "here", "elsewhere"
# What leaves nothing behind that the next search has not mended by the time when it is stopped.
STOPS = {What.INTERRUPT, What.KILL, What.KILL_AFTER, What.DIES, What.DIES_LAST, What.JUMP}
IN_ORDER = "left: []"  # how a doctor ends who leaves nothing to be mended


@dataclass(frozen=True)
class SimulatedProject(Project):
    """A project whose stores are the world's."""

    @property
    def optuna_url(self) -> StoreUrl:
        return StoreUrl("postgresql://simulated/optuna")

    @property
    def mlflow_uri(self) -> StoreUrl:
        return StoreUrl("http://simulated")


@dataclass
class Simulation:
    """A schedule under way."""

    schedule: Schedule
    is_traced: bool = False
    drives: dict[str, Drive] = field(default_factory=dict)
    trials: OptunaStore = field(default_factory=OptunaStore)
    runs: MlflowStore = field(default_factory=MlflowStore)

    def __post_init__(self) -> None:
        faults = {(each.process, each.step, each.of): each for each in self.schedule.faults}
        self.world = World(faults, trace=[] if self.is_traced else None)
        self.world.on_power_failure = self._fail_power
        self.world.on_suspension = self._suspended
        self.known = invariants.Known()

    def run(self) -> None:
        """Lives all lives.

        Raises:
            Violation: something is not as it must be.
        """
        for kind in self.schedule.lives:
            n = len(self.world.happened)
            ended = self._live(kind, HERE)
            befell = {fault.what for fault in self.world.happened[n:]}
            if ended == INTERRUPTED and befell == {What.INTERRUPT}:
                self._look_after_stop()
            if ended == DONE:
                if found := mirror.kept_of_trials(self.drives[HERE]):
                    raise Violation(found)
                if not self._leaves_something():
                    self._look_at_the_end()
            self._look()
        for _ in range(MOST_LAST_LIVES):
            self._wait()
            for host in self._hosts_that_keep() - {HERE}:
                self._live(SEARCH, host)
            ended = self._live(SEARCH, HERE)
            self._look()
            if ended == DONE:
                break
        else:
            if not may_have_no_champion(self.study()):
                raise Violation(f"a search that nothing befalls does not come to its end: {ended}")
        self._look_at_the_end()
        if self.schedule.changes_nothing and self.schedule.faults:
            self._compare_with_undisturbed()
        if self.schedule.losses and not may_have_no_champion(self.study()):
            for loss in self.schedule.losses:
                lose(self, loss)
            self._mend()
            self._look_at_the_end()

    def _mend(self) -> None:
        """Has the doctor mend all, though he is disturbed; then there is nothing to be mended."""
        disturbed = {each.process for each in self.schedule.faults if each.process >= MENDING}
        for number in range(MENDING, max(disturbed, default=MENDING) + 1 + MOST_LAST_LIVES):
            self._wait()
            ended = self._live(MEND, HERE, number)
        if ended != IN_ORDER:
            raise Violation(f"the doctor cannot mend: {ended}")
        looked = self._live(LOOK, HERE, number + 1)
        if looked != IN_ORDER:
            raise Violation(f"the doctor has mended all, and finds: {looked}")

    def _wait(self) -> None:
        """Lets so much time pass that nothing is out of reach, and disks have kept all."""
        self.world.seconds += OUTAGES_END
        for drive in self.drives.values():
            drive.settle()

    def _look_at_the_end(self) -> None:
        if found := invariants.at_the_end(self):
            raise Violation(found)

    def _leaves_something(self) -> bool:
        """Tells whether something may be left that the next search sends, removes or ends."""
        return bool(self.world.befell & {What.BROKEN, What.SUSPEND} or self._hosts_that_keep())

    def _look_after_stop(self) -> None:
        if not self.world.befell <= STOPS or self._hosts_that_keep():
            return
        study = self.study()
        if study and (found := mirror.after_stop(self.runs, study, self.drives[HERE])):
            raise Violation(found)

    def _hosts_that_keep(self) -> set[str]:
        """Names hosts on which writes wait for MLflow."""
        return {
            host
            for host, drive in self.drives.items()
            if any("outbox" in str(folder) for folder in drive.folders)
        }

    def trials_that_count(self) -> list[Trial]:
        """All trials that have ended, without those that were interrupted."""
        study = self.study()
        return select_counted(study_store.read_trials(study)) if study else []

    def table(self) -> list[tuple[object, ...]]:
        """What came of the study; see `invariants.table_of`."""
        study = self.study()
        return invariants.table_of(study_store.read_trials(study)) if study else []

    def _compare_with_undisturbed(self) -> None:
        here, there = self.table(), _undisturbed(self.schedule.scenario)
        for one, other in zip(here, there, strict=True):
            if one != other:
                raise Violation(f"a trial is {one}, where nothing befell it {other}")

    @property
    def here(self) -> Project:
        """The project, on the host where most of it happens."""
        return SimulatedProject(Path(f"/{HERE}"))

    def study(self) -> optuna.Study | None:
        """The study as it is stored; None if there is none yet."""
        with contextlib.suppress(KeyError):
            return optuna.load_study(study_name=NAME, storage=self.trials.data)
        return None

    def _look(self) -> None:
        study = self.study()
        if study is None:
            return
        trials = study_store.read_trials(study)
        found = self.known.differences(trials)
        if not found and ELSEWHERE not in self.drives:  # where no state of a training is
            found = self.known.lost(study, self.drives[HERE])
        if not found and not self._hosts_that_keep():
            found = mirror.left_running(self.runs, trials)
        if found:
            raise Violation(found)

    def _live(self, kind: str, host: str, number: int | None = None) -> int | str:
        """Lives a life; returns its exit code, or how else it ended."""
        process = self.world.begin(host, number)
        project = self.project_of(process)
        if self.world.trace is not None:
            self.world.trace.append(f"process {process.number}: {kind}")
        try:
            with _quiet():
                ended = self._do(kind, project, process)
        except Killed:
            ended = "killed"
        except KeyboardInterrupt:
            ended = "interrupted"
        except PipelineError as error:
            ended = f"error: {error}"
            if os.strerror(errno.ENOENT) in ended:  # nobody removes anything under its feet
                raise Violation(f"process {process.number} ({kind}) ends with {ended}") from error
        except OSError as error:  # as `run_command` has it
            if error.errno not in (errno.ENOSPC, errno.EIO):
                raise Violation(f"process {process.number} ({kind}) ends with {error}") from error
            ended = f"error: {error}"
        except Exception as error:
            raise Violation(
                f"process {process.number} ({kind}) ends with a traceback: {end_of(error)}"
            ) from error
        process.is_dead = True
        if self.world.trace is not None:
            self.world.trace.append(f"process {process.number} ended: {ended}")
        return ended

    def _do(self, kind: str, project: Project, process: Process) -> int | str:
        if kind != SEARCH:
            left = examine(project, NAME, kind.endswith("--fix")) if self.study() else []
            return f"left: {[each.name for each in left]}"
        interruption = Interruption("simulated")
        process.interrupt = interruption.hear
        scenario = self.schedule.scenario
        return search_interruptibly(project, scenario.spec, scenario.n_workers, interruption)

    def project_of(self, process: Process) -> SimulatedProject:
        """The project as a process sees it."""
        world, drive = self.world, self.drives.setdefault(process.host, Drive())
        disk = SimulatedDisk(world, process, drive)
        client = self.client_of(process, drive)
        outside = Outside(
            SimulatedClock(world, process),
            disk,
            SimulatedHost(world, process),
            lambda: self.storage_of(process),
            lambda: client,
            lambda n: SimulatedWorkers(world, process, curves, n, disk, client),
        )
        return SimulatedProject(Path(f"/{process.host}"), outside)

    def storage_of(self, process: Process) -> SimulatedStorage:
        """Optuna's storage as a process sees it."""
        return SimulatedStorage(self.world, process, self.trials)

    def client_of(self, process: Process, drive: Drive) -> SimulatedClient:
        """A client of MLflow, of a process."""
        return SimulatedClient(self.world, process, self.runs, drive)

    def _fail_power(self, process: Process) -> None:
        fault = self.world.happened[-1]
        self.drives[process.host].fail_power(fault.share)
        if process.host == HERE:  # where Optuna's store is
            self.trials.fail_power(fault.share)

    def _suspended(self, process: Process, fault: Fault) -> None:
        if process.host == ELSEWHERE:
            return
        if fault.what is What.SUSPEND:
            self._live(SEARCH, ELSEWHERE)
            return
        if fault.what is What.RIVAL:
            has_lease = self.world.shows_life(process)
            ended = str(self._live(SEARCH, ELSEWHERE))
            if has_lease and ended in (str(DONE), str(FAILED)):
                raise Violation(f"a second search on another host is not refused: {ended}")
            return
        ended = str(self._live(SEARCH, process.host))
        if "is being searched already" not in ended:
            raise Violation(f"a second search in the same folder is not refused: {ended}")


@functools.lru_cache(4096)
def _undisturbed(scenario: Scenario) -> tuple[tuple[object, ...], ...]:
    simulation = Simulation(Schedule(scenario, (), ()))
    simulation.run()
    return tuple(simulation.table())


@contextlib.contextmanager
def _quiet() -> Iterator[io.StringIO]:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        yield said
