"""The sums of an export are what `sha256sum` reads."""

import subprocess
from pathlib import Path

from pipeline.export import folder


def test_sums_are_of_every_file_and_notice_a_change(tmp_path: Path) -> None:
    (tmp_path / "saved_model" / "variables").mkdir(parents=True)
    for name in ("model.keras", "saved_model/saved_model.pb", "saved_model/variables/index"):
        (tmp_path / name).write_text(name)
    folder.write_sums(tmp_path)
    check = ["sha256sum", "--check", "--strict", folder.SUMS_FILE]
    done = subprocess.run(check, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "model.keras: OK", "saved_model/saved_model.pb: OK", "saved_model/variables/index: OK",
    ]  # fmt: skip
    (tmp_path / "saved_model" / "variables" / "index").write_text("another")
    done = subprocess.run(check, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1


def test_an_export_of_today_or_of_before_may_be_overwritten(tmp_path: Path) -> None:
    for names in (folder.FILES, (*folder._ANY_FILES,), ("model.keras", "README.md")):
        there = tmp_path / str(len(names))
        there.mkdir()
        for name in names:
            (there / name).touch()
        assert folder.check_folder(there, force=True) == there
