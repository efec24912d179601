"""Study files as other systems write them: encodings, byte order marks, ends of lines."""

from pathlib import Path

import pytest

from pipeline.errors import UsageError
from pipeline.study.toml_file import read_toml

TEXT = 'goal = "연구 naïve"\n[budget]\ntrials = 1\n'


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_utf_8_is_read_with_or_without_a_mark(mark: bytes, end: str, tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    file.write_bytes(mark + TEXT.replace("\n", end).encode())
    assert read_toml(file) == {"goal": "연구 naïve", "budget": {"trials": 1}}


def test_the_end_of_a_file_of_dos_is_no_text(tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    file.write_bytes(b"goal = 1\r\n\x1a")
    assert read_toml(file) == {"goal": 1}


def test_the_end_of_a_line_is_no_odd_character(tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    file.write_bytes(b"goal =\r\n")
    with pytest.raises(UsageError, match=r"line 1, column 7\)$"):
        read_toml(file)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (TEXT.encode("utf-16"), "found text in UTF-16, allowed is UTF-8"),
        (TEXT.encode("utf-32"), "found text in UTF-32, allowed is UTF-8"),
        (TEXT.encode("utf-16-le"), "as of text in UTF-16 or of no text, allowed is UTF-8"),
        ('a = 1\ngoal = "내 연구"'.encode("cp949"),
         "line 2: found the byte 0xb3, which is no UTF-8; the text may be in CP949"),
        ('goal = "小さい研究"'.encode("shift_jis"), " Shift-JIS, "),
        ('goal = "小さい研究"'.encode("euc_jp"), " EUC-JP, "),
        ('goal = "小研究"'.encode("big5"), " Big5, "),
        ('goal = "小研究"'.encode("gb18030"), " GB18030, "),
        ('goal = "naïve"'.encode("latin-1"),
         "the text may be in Latin-1 (Windows-1252) or another"),
        (b"goal = 1\n\x1a\n", "where '\\x1a' stands (a control character)"),
        (b"goal = 1\r\n\x1bx = 1", "where '\\x1b' stands (a control character)"),
        (TEXT.replace("\n", "\r").encode(), "lines that end with CR alone, allowed are LF"),
        ("goal = “x”".encode(), "where '“' stands (LEFT DOUBLE QUOTATION MARK)"),
        ("goal\u00a0= 1".encode(), "where '\\xa0' stands (NO-BREAK SPACE)"),
    ],
)  # fmt: skip
def test_other_text_is_named(content: bytes, said: str, tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    file.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read_toml(file)
    assert said in str(caught.value)
    assert str(caught.value).startswith(str(file))
