"""What `python -m pipeline.data FILE` says of a table."""

from pathlib import Path

import pytest

from pipeline.data.show_table import show_own
from pipeline.errors import UsageError

ROWS = "".join(
    f"{i};{i}: a long remark on {i};{'' if i % 9 else i};{i % 3};k{i % 2};{i / 7:.3f};"
    f"0{i % 9 + 1}/2024\n"
    for i in range(50)
)


def test_a_table_is_shown_in_80_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    path = Path("houses.csv")
    path.write_text("no;note;gaps;rooms;a_very_long_name_of_a_column;price;\x1b[31mred\n" + ROWS)
    show_own("houses.csv", "price")
    output = capsys.readouterr().out
    lines = output.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0] == "houses.csv: 50 rows, 7 columns"
    assert lines[1:4] == ['  delimiter ";"', "  encoding utf-8", "  decimal sign ."]
    for words in (
        ("no", "number", "0", "50", "0", "dropped: an id: all"),
        ("note", "text", "0", "50", "dropped: free text"),
        ("gaps", "number", "44", "6", "standardised; 44"),
        ("price", "number", "0", "50", "the target"),
        ("\\x1b[31mred", "date", "0", "9", "01/2024", "days, day of"),
    ):
        row = next(line for line in lines if line.startswith(f"{words[0]} "))
        assert all(word in row for word in words)
    assert "\x1b" not in output
    with pytest.raises(UsageError, match=r"--target: found 'prize', allowed are the columns of"):
        show_own("houses.csv", "prize")
