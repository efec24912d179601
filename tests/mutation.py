"""Breaks the code in one place after the other, and looks whether the tests notice.

    python tests/mutation.py [text in a row's file ...]

The code is broken in a copy of the repository in a temporary folder. Exit code 1 if a mutation
survives, or if the tests fail without any.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
NOT_COPIED = (".venv", ".git", ".*_cache", ".hypothesis", "__pycache__", "mlruns", "exports")
HANGS_SECONDS = 300.0  # after which a mutation has made the tests hang, and is noticed
PASSED, FAILED = 0, (1, 2)  # exit codes of pytest; 2 under xdist, and if nothing can be imported


@dataclass(frozen=True)
class Mutation:
    """A place in the code, how it is broken, and who should notice.

    Attributes:
        file: from the root of the repository.
        old: stands in it once.
        new: is put there instead.
        tests: files, or tests in them as pytest names them.
    """

    file: str
    old: str
    new: str
    tests: tuple[str, ...]


MUTATIONS = (
    Mutation(
        "pipeline/data/datasets.py",
        "return order[n:], order[:n]",
        "return order[n:], order[: n + 1]",
        ("tests/data/test_datasets.py",),
    ),
    Mutation(
        "pipeline/data/fashion_mnist.py",
        "                    if found != expected:\n",
        "                    if found == object():\n",
        ("tests/data/test_datasets.py",),
    ),
    Mutation(
        "pipeline/predict/arrays.py",
        "(pixels >= 0) & (pixels <= 255)",
        "pixels >= 0",
        ("tests/predict/test_arrays.py",),
    ),
    Mutation(
        "pipeline/formats/parity.py",
        "n_different, largest = compare(self.task, self.answers[:end], asked.answers[:end])",
        "n_different, largest = 0, 0.0",
        ("tests/formats/test_parity.py",),
    ),
    Mutation(
        "pipeline/task/scoring.py",
        "answers = np.hstack([1 - answers, answers])",
        "answers = np.hstack([answers, 1 - answers])",
        ("tests/task/test_scoring.py",),
    ),
    Mutation(
        "pipeline/study/space.py",
        "if entry.log and entry.low <= 0:",
        "if entry.log and entry.low < 0:",
        ("tests/study/test_space.py", "tests/study/test_load.py"),
    ),
    Mutation(
        "pipeline/study/trial.py",
        "return [trial for trial in trials if not trial.interrupted]",
        "return [*trials]",
        ("tests/storage/test_study_store.py",),
    ),
    Mutation(
        "pipeline/study/trial.py",
        "value > than if",
        "value >= than if",
        ("tests/storage/test_study_store.py",),
    ),
    Mutation(
        "pipeline/training/epoch.py",
        "outputs = model(examples, training=True)",
        "outputs = model(examples, training=False)",
        ("tests/training/test_loop.py",),
    ),
    Mutation(
        "pipeline/training/averaging.py",
        "            variable.assign(trained)\n",
        "            trained.assign(variable)\n",
        ("tests/training/test_training_options.py",),
    ),
    Mutation(
        "pipeline/training/augmentation.py",
        "(1, shift, shift, height - 1,",
        "(1, shift - 1, shift, height - 1,",
        ("tests/training/test_augmentation.py",),
    ),
    Mutation(
        "pipeline/reading/values.py",
        "_MOSTLY, _LEAST = 0.95, 10",
        "_MOSTLY, _LEAST = 0.05, 10",
        ("tests/reading/test_kinds.py", "tests/reading/test_tables.py"),
    ),
    Mutation(
        "pipeline/preparation/encoding.py",
        "fewest = 1 if len(rows) < FEW_ROWS else RARE",
        "fewest = 1",
        ("tests/preparation/test_encoding.py",),
    ),
    Mutation(
        "pipeline/new/plan.py",
        "if data.n_rows >= SMALL",
        "if True",
        ("tests/whole/test_new.py",),
    ),
    Mutation(
        "pipeline/evaluation/claims.py",
        "math.sqrt(1 + 1 / known.n)",
        "math.sqrt(1 / known.n)",
        ("tests/evaluation/test_claims.py",),
    ),
    Mutation(
        "pipeline/evaluation/intervals.py",
        "z2 / (4 * n_images**2)",
        "z2 / (2 * n_images**2)",
        ("tests/evaluation/test_intervals.py",),
    ),
    Mutation(
        "pipeline/storage/lease.py",
        "if _signs_of_life(study) != before:",
        "if _signs_of_life(study) == object():",
        ("tests/storage/test_lease.py",),
    ),
    Mutation(
        "pipeline/storage/fencing.py",
        "self._look(session.connection())",
        "session.connection()",
        ("tests/storage/test_fencing.py",),
    ),
    Mutation(
        "pipeline/storage/queue.py",
        "if trial.number not in {each.user_attrs.get(RETRY_OF) for each in _waiting(study)}:",
        "if True:",
        ("tests/storage/test_queue.py",),
    ),
    Mutation(
        "pipeline/tracking/outbox.py",
        "disk.truncate(path, size)",
        "pass",
        ("tests/tracking/test_outbox.py",),
    ),
    Mutation(
        "pipeline/tracking/outbox.py",
        "            self._forget(n_sent)",
        "            self._forget(len(self._waiting))",
        ("tests/tracking/test_outbox.py",),
    ),
    Mutation(
        "pipeline/tracking/delivery.py",
        "self.runs.pop(trial, None)",
        "None",
        ("tests/tracking/test_delivery.py::test_runs_that_ended_are_not_kept_in_memory",),
    ),
    Mutation(
        "pipeline/tracking/delivery.py",
        "            if error.error_code not in _REFUSED:\n",
        "            if True:\n",
        ("tests/tracking/test_delivery.py",),
    ),
    Mutation(
        "pipeline/execution/local.py",
        "worker.process.kill()  # it has nothing to clear up",
        "pass",
        (
            "tests/execution/test_local.py::TestLocalExecutor::test_stop_does_not_wait_for_a_job_before_it_kills_it",
        ),
    ),
    Mutation(
        "pipeline/search/pausing.py",
        "should_prune() and running.assignment.is_drawn:",
        "should_prune():",
        ("tests/search/test_supervisor.py", "tests/search/test_finals.py"),
    ),
    Mutation(
        "pipeline/search/supervisor.py",
        "n_retries < self._spec.training.retries:",
        "n_retries <= self._spec.training.retries:",
        ("tests/search/test_supervisor.py",),
    ),
    Mutation(
        "pipeline/search/recent_tpe.py",
        "sign = -1 if direction == StudyDirection.MAXIMIZE else 1",
        "sign = 1",
        ("tests/search/test_recent_tpe.py",),
    ),
    Mutation(
        "pipeline/report/document.py",
        '.replace("|", "\\\\|")',
        "",
        ("tests/report/test_document.py",),
    ),
    Mutation(
        "pipeline/export/scores.py",
        "rel_tol=TOLERANCE,",
        "rel_tol=1.0,",
        (
            "tests/export/test_bundle.py"
            "::test_a_model_without_its_recorded_metric_is_not_exported_and_not_tested",
        ),
    ),
    Mutation(
        "pipeline/export/folder.py",
        "if there and not force:",
        "if False:",
        ("tests/export/test_bundle.py::test_an_export_does_not_overwrite_an_earlier_one",),
    ),
    Mutation(
        "pipeline/doctor/plan.py",
        "if noted and not (noted.is_deleted and trial.interrupted):",
        "if noted:",
        ("tests/doctor/test_plan.py", "tests/doctor/test_doctor.py"),
    ),
)


def notices(root: Path, tests: Sequence[str]) -> bool:
    """Whether any of the tests fails.

    Raises:
        RuntimeError: they cannot be run; the text is pytest's.
    """
    command = [sys.executable, "-B", "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(
            command, cwd=root, capture_output=True, text=True, timeout=HANGS_SECONDS
        )
    except subprocess.TimeoutExpired:
        return True
    if done.returncode != PASSED and done.returncode not in FAILED:
        raise RuntimeError(done.stdout + done.stderr)
    return done.returncode in FAILED


def main() -> int:
    """Tries every mutation, or those in files whose names contain one of the arguments."""
    wanted = sys.argv[1:] or [""]
    chosen = [each for each in MUTATIONS if any(part in each.file for part in wanted)]
    n_survived = 0
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        root = Path(folder).resolve() / "repository"
        shutil.copytree(REPOSITORY, root, ignore=shutil.ignore_patterns(*NOT_COPIED))
        print("first the tests without any mutation ...", flush=True)
        for tests in dict.fromkeys(each.tests for each in chosen):
            if notices(root, tests):
                print(f"fails without any mutation: {' '.join(tests)}")
                return 1
        for mutation in chosen:
            began = time.monotonic()
            file = root / mutation.file
            whole = file.read_text(encoding="utf-8")
            file.write_text(whole.replace(mutation.old, mutation.new), encoding="utf-8")
            is_noticed = notices(root, mutation.tests)
            file.write_text(whole, encoding="utf-8")
            n_survived += not is_noticed
            print(
                f"{'noticed ' if is_noticed else 'SURVIVED'} {time.monotonic() - began:4.0f} s  "
                f"{mutation.file}: {mutation.old.strip()} -> {mutation.new.strip() or 'nothing'}",
                flush=True,
            )
    print(f"{len(chosen) - n_survived} of {len(chosen)} mutations were noticed")
    return 1 if n_survived else 0


if __name__ == "__main__":
    sys.exit(main())
