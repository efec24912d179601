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


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (TEXT.encode("utf-16"), "found text in UTF-16, allowed is UTF-8"),
        (TEXT.encode("utf-32"), "found text in UTF-32, allowed is UTF-8"),
        (TEXT.encode("utf-16-le"), "as of text in UTF-16 or of no text, allowed is UTF-8"),
        ('a = 1\ngoal = "내 연구"'.encode("cp949"),
         "line 2: found the byte 0xb3, which is no UTF-8; the text looks like CP949"),
        ('goal = "naïve"'.encode("latin-1"), "looks like Latin-1, Windows-1252"),
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
