"""Files as people have them: read as what they mean, or refused in a sentence that says where."""

import gzip
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets

from pipeline.errors import UsageError
from pipeline.reading.column import ColumnKind, RawTable
from pipeline.reading.tables import place_of, read_table

SCIKIT_LEARN = Path(sklearn.datasets.__file__).parent / "data"


def written(tmp_path: Path, text: str | bytes, name: str = "t.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def numbers(table: RawTable, name: str) -> list[float]:
    assert table.columns[name].kind == ColumnKind.NUMBER
    return [float(value) for value in table.columns[name].values]


def words(table: RawTable, name: str) -> list[str | None]:
    column = table.columns[name]
    assert column.is_coded
    return [None if code < 0 else column.vocabulary[code] for code in column.values]


@pytest.mark.parametrize(
    ("delimiter", "decimal", "encoding", "line_end"),
    [
        each
        for each in itertools.product(
            ";,\t|", ".,", ["utf-8", "utf-8-sig", "utf-16", "cp1252"], ["\n", "\r\n"]
        )
        if each[0] != each[1]
    ],
)
def test_one_table_in_every_dialect(
    tmp_path: Path, delimiter: str, decimal: str, encoding: str, line_end: str
) -> None:
    thousands = "." if decimal == "," else ","
    rows = [["Größe, m2", "preis", "ort", "gültig", "seit"]]
    for i in range(40):
        price = f"{1000 + i * 987.25:,.2f}".translate(str.maketrans(".,", decimal + thousands))
        size = "NA" if i % 10 == 3 else f"{i / 8:.3f}".replace(".", decimal)
        rows.append(
            [
                size,
                price,
                f"Köln; {i % 3}",
                str(i % 2 == 0),
                f"{1 + i % 28:02}.{1 + i % 12:02}.2023",
            ]
        )
    text = line_end.join(
        delimiter.join(f'"{x}"' if set(x) & set(",;") else x for x in row) for row in rows
    )
    table = read_table(written(tmp_path, text.encode(encoding)))
    sizes = [math.nan if i % 10 == 3 else i / 8 for i in range(40)]
    np.testing.assert_equal(numbers(table, "Größe, m2"), sizes)
    assert numbers(table, "preis") == [1000 + i * 987.25 for i in range(40)]
    assert words(table, "ort") == [f"Köln; {i % 3}" for i in range(40)]
    assert table.columns["gültig"].kind == ColumnKind.BOOLEAN
    assert table.columns["gültig"].values.tolist() == [1 - i % 2 for i in range(40)]
    since = table.columns["seit"]
    assert (since.kind, since.date_format) == (ColumnKind.DATE, "%d.%m.%Y")
    first = np.datetime64("2023-01-01", "s").astype(np.int64)
    assert since.values[0] == first
    shown = "tab" if delimiter == chr(9) else f'"{delimiter}"'
    assert table.remarks[0] == f"delimiter {shown}"
    assert table.remarks[2] == f"decimal sign {decimal}"
    if encoding == "cp1252":
        assert table.remarks[1] == "encoding cp1252 (line 1 is no UTF-8)"


@pytest.mark.parametrize(
    ("town", "written_in", "found"),
    [
        ("서울", "cp949", "cp949 (line 2 is no UTF-8, a guess: if words look wrong, set"),
        ("Orléans", "latin-1", "cp1252 (line 2 is no UTF-8)"),
        ("20 °C, 5 m²", "cp1252", "cp1252 (line 2 is no UTF-8)"),
        ("Москва", "cp1251", "cp1252 (line 2 is no UTF-8, a guess: if words look wrong, set"),
        (
            "上海市浦东新区",
            "gb2312",
            "cp1252 (line 2 is no UTF-8, a guess: if words look wrong, set",
        ),
    ],
)
def test_encodings_that_no_mark_says(
    tmp_path: Path, town: str, written_in: str, found: str
) -> None:
    path = written(tmp_path, f"town;y\n{town};1\nUlm;2\n".encode(written_in))
    table = read_table(path)
    assert table.remarks[1].startswith(f"encoding {found}")
    if written_in == "cp949" or "guess" not in found:
        assert words(table, "town")[0] == town
    assert words(read_table(path, encoding=written_in), "town")[0] == town


def test_scikit_learns_digits_have_no_line_of_names() -> None:
    table = read_table(SCIKIT_LEARN / "digits.csv.gz")
    expected = sklearn.datasets.load_digits()
    assert (table.n_rows, len(table.columns), table.first_line) == (1797, 65, 1)
    np.testing.assert_array_equal(numbers(table, "column 65"), expected.target)
    np.testing.assert_array_equal(numbers(table, "column 12"), expected.data[:, 11])
    assert table.columns["column 1"].remark == "constant"


def test_numbers_as_people_write_them(tmp_path: Path) -> None:
    text = (
        "plain;swiss;euro;share;sign;thousands;spaces\n"
        "1e3;1'234.5;€5;5 %;+1;1,234;1\u00a0234,5\n"
        ".5;1'000'000;€6.5;6.25 %;-2;12;7,25\n"
        "?;-7;€1,000;0%;\u22123;1,234,567.5;\n"
    )
    table = read_table(written(tmp_path, text))
    np.testing.assert_equal(numbers(table, "plain"), [1000, 0.5, math.nan])
    assert numbers(table, "swiss") == [1234.5, 1e6, -7]
    assert numbers(table, "euro") == [5, 6.5, 1000]
    assert numbers(table, "share") == [5, 6.25, 0]
    assert numbers(table, "sign") == [1, -2, -3]
    assert numbers(table, "thousands") == [1234, 12, 1234567.5]
    np.testing.assert_equal(numbers(table, "spaces"), [1234.5, 7.25, math.nan])
    assert "decimal sign , in column spaces" in table.remarks


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["301,66\u00a0€", "1\u202f234,5\u202f€"], [301.66, 1234.5]),
        (["1,7\u00a0%", "-3,25\u202f%"], [1.7, -3.25]),
        (["(302)", "32", "(1.302,5)"], [-302, 32, -1302.5]),
        (["302-", "32", "5-"], [-302, 32, -5]),
        (["1.299,-", "5,--", "7,50", "12,\u2013", "7-"], [1299, 5, 7.5, 12, -7]),
        (["1.299,- €", "-5,00 €"], [1299, -5]),
        (["1\u2009299,5", "12"], [1299.5, 12]),
        (["US$ 1.299,50", "-US$5"], [1299.5, -5]),
        (["\u2212\u00a05", "7"], [-5, 7]),
        (["₩301658", "₩ 7"], [301658, 7]),
        (["301658원", "7 원"], [301658, 7]),
        (["302 kg", "7,5 kg", "1e3 kg"], [302, 7.5, 1000]),
        (["302 kg", "7 lb"], None),
        (["302 kg", "7"], None),
        (["(302", "7"], None),
        (["-(302)", "7"], None),
        (["\\N", "7,5", "#DIV/0!", "#VALUE!"], [math.nan, 7.5, math.nan, math.nan]),
        (["#NV", "7,5", "#DIV/0 !", "#WERT!"], [math.nan, 7.5, math.nan, math.nan]),
    ],
)
def test_numbers_with_units_and_signs_around_them(
    tmp_path: Path, texts: list[str], expected: list[float] | None
) -> None:
    rows = "\n".join(f"{text};x" for text in texts)
    table = read_table(written(tmp_path, f"a;b\n{rows}\n"), decimal=",")
    if expected is None:
        assert table.columns["a"].is_coded
    else:
        np.testing.assert_equal(numbers(table, "a"), expected)


def test_one_sign_alone_parts_thousands(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, 'a,b\n"10 811,938",1\n"642,783",2\n'))
    assert numbers(table, "a") == [10811.938, 642.783]
    table = read_table(written(tmp_path, 'a,b\n"1,23,456.5",1\n"96,56,188",2\n"12,345",3\n'))
    assert numbers(table, "a") == [123456.5, 9656188, 12345]


def test_an_open_decimal_sign_is_said_and_can_be_set(tmp_path: Path) -> None:
    path = written(tmp_path, "a;b\n1.234;x\n2.500;y\n")
    guessed = read_table(path)
    assert numbers(guessed, "a") == [1.234, 2.5]
    assert any("1.234 could be either" in remark for remark in guessed.remarks)
    assert numbers(read_table(path, decimal=","), "a") == [1234, 2500]


@pytest.mark.parametrize(
    ("first", "last", "date_format", "seconds"),
    [
        ("2024-01-02", "2024-12-31", "%Y-%m-%d", 1704153600),
        ("2.1.2024", "31.12.2024", "%d.%m.%Y", 1704153600),
        ("02/01/2024", "31/12/2024", "%d/%m/%Y", 1704153600),
        ("01/02/2024", "12/31/2024", "%m/%d/%Y", 1704153600),
        ("2024/01/02", "2024/12/31", "%Y/%m/%d", 1704153600),
        ("2024-01-02 03:04", "2024-12-31 23:59", "%Y-%m-%d %H:%M", 1704164640),
        ("2024-01-02T03:04:05", "2024-12-31T00:00:00", "%Y-%m-%dT%H:%M:%S", 1704164645),
        ("2024-01-02T03:04:05Z", "2024-12-31T00:00:00Z", "%Y-%m-%dT%H:%M:%SZ", 1704164645),
        ("2024-01-02 03:04:05.25", "2024-12-31 00:00:00.5", "%Y-%m-%d %H:%M:%S.%f", 1704164645),
        ("2.1.24", "31.12.68", "%d.%m.%y", 1704153600),
        ("1/2/69", "12/31/24", "%m/%d/%y", -31449600),
        ("2-1-2024", "31-12-2024", "%d-%m-%Y", 1704153600),
        ("01-02-2024", "12-31-2024", "%m-%d-%Y", 1704153600),
        ("2024.01.02", "2024.12.31", "%Y.%m.%d", 1704153600),
        ("02 Jan 2024", "31 Dec 2024", "%d %b %Y", 1704153600),
        ("2-Jan-2024", "31-Dec-2024", "%d-%b-%Y", 1704153600),
        ("Jan 02 2024", "Dec 31 2024", "%b %d %Y", 1704153600),
        ("2024-01-02T03:04:05+02:00", "2024-12-31T00:00:00Z", "%Y-%m-%dT%H:%M:%S%z", 1704157445),
        (
            "2024-01-02T03:04:05.123Z",
            "2024-12-31T00:00:00.5Z",
            "%Y-%m-%dT%H:%M:%S.%fZ",
            1704164645,
        ),
        ("01/02/2024 03:04 PM", "12/31/2024 11:59 AM", "%m/%d/%Y %I:%M %p", 1704207840),
        ("2024-01-02", "2024-12-31 23:59:00", "%Y-%m-%d %H:%M:%S", 1704153600),
        ("2. Januar 2024", "31. Dezember 2024", "%d. %b %Y", 1704153600),
        ("2 de enero de 2024", "31 de dic. de 2024", "%d de %b de %Y", 1704153600),
        ("02-Jan-24", "31-Dec-24", "%d-%b-%y", 1704153600),
        ("2024년 1월 2일", "2024년 12월 31일", "%Y년 %m월 %d일", 1704153600),
        ("2024. 1. 2. 3:04", "2024. 12. 31. 23:59", "%Y. %m. %d. %H:%M", 1704164640),
        ("1/2/2024, 3:04:00 PM", "12/31/2024, 1:04:00 AM", "%m/%d/%Y, %I:%M:%S %p", 1704207840),
        ("2024-01-02 03:04:05+00", "2024-12-31 03:04:05+00", "%Y-%m-%d %H:%M:%S%z", 1704164645),
        ("2024-01-02 03:04:05 UTC", "2024-12-31 03:04:05 UTC", "%Y-%m-%d %H:%M:%S%z", 1704164645),
        ("2024-01", "2024-12", "%Y-%m", 1704067200),
        ("1:30", "23:59", "%H:%M", 5400),
        ("01:30:05", "00:00:00", "%H:%M:%S", 5405),
        ("01.30.05", "18.00.00", "%H.%M.%S", 5405),
        ("Januar 2024", "Dezember 2024", "%b %Y", 1704067200),
        ("01/02/1969 1:30", "12/31/2024 23:59", "%m/%d/%Y %H:%M", -31444200),
    ],
)
def test_dates(tmp_path: Path, first: str, last: str, date_format: str, seconds: int) -> None:
    table = read_table(written(tmp_path, f"d;x\n{first};1\nNA;2\n{last};3\n"))
    column = table.columns["d"]
    assert (column.kind, column.date_format) == (ColumnKind.DATE, date_format)
    assert column.values[0] == seconds
    assert math.isnan(column.values[1])
    assert not any("day before month" in remark for remark in table.remarks)


def test_day_and_month_that_could_be_swapped_are_said(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, "d\n01/02/2024\n03/04/2024\n"))
    assert table.columns["d"].date_format == "%d/%m/%Y"
    said = (
        "dates of column d read as %d/%m/%Y, which could be %m/%d/%Y: "
        '[data] types = { "d" = "%m/%d/%Y" } reads them so'
    )
    assert said in table.remarks
    other = read_table(tmp_path / "t.csv", types={"d": "%m/%d/%Y"})
    days = np.array(["2024-01-02", "2024-03-04"], "datetime64[s]").astype(float)
    assert other.columns["d"].values.tolist() == days.tolist()
    assert other.columns["d"].date_format == "%m/%d/%Y"
    with pytest.raises(
        UsageError, match=r"line 2, column d: .* allowed is a date written %Y-%m-%d"
    ):
        read_table(tmp_path / "t.csv", types={"d": "%Y-%m-%d"})
    with pytest.raises(UsageError, match=r"types of d: found '%m/%d', allowed is number, boolean"):
        read_table(tmp_path / "t.csv", types={"d": "%m/%d"})


def test_dates_that_are_numbers_or_unknown_are_said(tmp_path: Path) -> None:
    rows = "".join(
        f"202403{i:02},Di {i:02}.03.{1990 + i},{i // 9 + 1}st March 2021\n" for i in range(1, 25)
    )
    path = written(tmp_path, f"d,e,f\n{rows}")
    table = read_table(path)
    said = (
        "column d is taken for a number, its values look like dates written %Y%m%d: "
        '[data] types = { "d" = "date" } reads them so'
    )
    assert said in table.remarks
    assert table.columns["e"].remark == "looks like dates in a form that is not known"
    assert table.columns["e"].doubt == (
        "column 'e' looks like dates in a form that is not known, such as 'Di 01.03.1991': it is "
        "left out; it is read if the dates are written like 2024-03-31 or 2024-03-31 23:59"
    )
    rows = "".join(
        f"{i + 13}:{i % 7:02}:10,10.0.{i % 7}.2,06 {i + 40} {i + 30} {i}\n" for i in range(60)
    )
    others = read_table(written(tmp_path, f"time,address,phone\n{rows}", "o.csv"))
    rows = "".join(
        f"{i} {'kg' if i % 3 else 'g'},{i}{'ab'[i % 2] * (i % 5)},{i}{'AB'[i % 2]}\n"
        for i in range(60)
    )
    took = "\n".join(f"{i // 10 + 15}:{i % 60:02}" for i in range(95))
    assert "has times" in read_table(written(tmp_path, f"t\n{took}\n", "w.csv")).columns["t"].doubt
    units = read_table(written(tmp_path, f"mass,house,seat\n{rows}", "u.csv")).columns
    assert "column 'mass' has numbers with several units, g and kg, wh" in units["mass"].doubt
    assert not units["house"].doubt + units["seat"].doubt
    assert [name for name, column in others.columns.items() if column.doubt] == ["time"]
    assert "column 'time' has times such as '13:00:10', which" in others.columns["time"].doubt
    assert not table.columns["f"].remark
    assert "such as '1st March 2021': it is taken for a category;" in table.columns["f"].doubt
    column = read_table(path, types={"d": "date"}).columns["d"]
    assert (column.kind, column.date_format) == (ColumnKind.DATE, "%Y%m%d")
    assert column.values[0] == np.datetime64("2024-03-01", "s").astype(np.int64)


def test_dates_of_each_month_are_no_days_of_january(tmp_path: Path) -> None:
    rows = "".join(f"{month:02}/01/{year}\n" for year in (2010, 2011) for month in range(1, 13))
    column = read_table(written(tmp_path, f"d\n{rows}")).columns["d"]
    assert column.date_format == "%m/%d/%Y"
    assert len(set(column.values)) == 24


def test_numbers_that_become_words_are_warned_of_and_mended_as_the_warning_says(
    tmp_path: Path,
) -> None:
    values = ["refused" if i % 20 == 7 else "unknown" if i == 3 else f"{i}.5" for i in range(100)]
    path = written(tmp_path, "income\n" + "\n".join(values) + "\n")
    column = read_table(path).columns["income"]
    assert column.doubt == (
        "column 'income': 94 % are numbers, 'refused' and 1 more are not: it is taken for a "
        'category; [data] missing = ["refused", "unknown"] makes it one of numbers'
    )
    table = read_table(path, missing=["refused", "unknown"])
    assert not table.columns["income"].doubt
    expected = [float(value) if value[0].isdigit() else math.nan for value in values]
    np.testing.assert_equal(numbers(table, "income"), expected)
    days = "\n".join([f"2024-01-{i:02}" for i in range(1, 29)] + ["soon"] * 5)
    doubt = read_table(written(tmp_path, f"d\n{days}\n")).columns["d"].doubt
    assert "85 % are dates written %Y-%m-%d, 'soon' is not" in doubt
    listed = "\n".join(["1. Industry", "2. Information"] * 60)
    assert not read_table(written(tmp_path, f"job\n{listed}\n")).columns["job"].doubt
    german = "".join(f'{i % 9}. Bezirk,{i}. Etage,"{i},5"\n' for i in range(60))
    assert "decimal sign ," in read_table(written(tmp_path, f"a,b,c\n{german}", "g.csv")).remarks
    few = "\n".join(["12"] * 9 + ["x", "y"] * 4)
    assert not read_table(written(tmp_path, f"a\n{few}\n")).columns["a"].doubt


def test_two_decimal_signs_in_a_column_are_warned_of(tmp_path: Path) -> None:
    rows = "".join(f"{i}{',.'[i % 3 > 0]}5;x\n" for i in range(60))
    doubt = read_table(written(tmp_path, f"a;b\n{rows}")).columns["a"].doubt
    assert doubt.startswith("column 'a': some numbers, such as '0,5', have another decimal sign")


def test_a_number_far_from_all_others_and_zeros_in_front_are_warned_of(tmp_path: Path) -> None:
    rows = "".join(
        f"{-200 if i % 9 == 3 else i / 8};{'999,0 €' if i % 30 == 3 else f'{i},5 €'};"
        f"{i % 17 * 211:05};{i % 12 + 1:02};{0 if i % 9 else i + 1000};{i % 5}\n".replace(".", ",")
        for i in range(90)
    )
    path = written(tmp_path, f"t;price;zip;month;paid;few\n{rows}")
    table = read_table(path)
    assert {name: column.doubt for name, column in table.columns.items() if column.doubt} == {
        "t": "column 't': 10 rows have -200, far from all others: if it says that nothing is "
        'known, set [data] missing = ["-200"]',
        "price": "column 'price': 3 rows have 999,0 €, far from all others: if it says that "
        'nothing is known, set [data] missing = ["999,0 €"]',
        "zip": "column 'zip' is taken for a number, but has zeros in front, such as '00000': if "
        'it is a code, set [data] types = { "zip" = "category" }',
    }
    days = "".join(
        f"{'9999-12-31' if i % 9 == 3 else f'2024-01-{i % 28 + 1:02}'}\n" for i in range(90)
    )
    doubt = read_table(written(tmp_path, f"d\n{days}", "d.csv")).columns["d"].doubt
    assert "10 rows have 9999-12-31, far from all others" in doubt
    sums = "".join(f"{-999 if i % 9 == 3 else i * 33}\n" for i in range(90))
    doubt = read_table(written(tmp_path, f"s\n{sums}", "s.csv")).columns["s"].doubt
    assert "10 rows have -999, far from all others" in doubt
    mended = read_table(path, missing=["-200", "999,0 €"], types={"zip": "category"})
    assert not any(column.doubt for column in mended.columns.values())
    assert [int(np.isnan(mended.columns[name].values).sum()) for name in ("t", "price")] == [10, 3]
    assert words(mended, "zip")[1] == "00211"


def test_what_counts_the_rows_from_any_number_is_an_id(tmp_path: Path) -> None:
    rows = "".join(f"{7000 + i},{i - 60},{1900 + i}\n" for i in range(120))
    columns = read_table(written(tmp_path, f"a,b,c\n{rows}")).columns
    assert [columns[name].remark for name in "abc"] == [
        "an id: all values differ",
        "",
        "an id: all values differ",
    ]
    rows = "".join(f"{1950 + i}\n" for i in range(70))
    assert not read_table(written(tmp_path, f"year\n{rows}")).columns["year"].remark


def test_a_row_of_totals_is_warned_of(tmp_path: Path) -> None:
    rows = "".join(f"p{i % 7};{i},5\n" for i in range(60))
    for last in ("Summe", "Total:", "grand total", "합계"):
        doubt = (
            read_table(written(tmp_path, f"name;y\n{rows}{last};1770,0\n")).columns["name"].doubt
        )
        assert f"column 'name': the last row has {last!r}, which looks like" in doubt
    for last in ("Sumatra", "p9"):
        assert (
            not read_table(written(tmp_path, f"name;y\n{rows}{last};1,0\n")).columns["name"].doubt
        )


def test_a_column_that_is_dropped_is_not_checked(tmp_path: Path) -> None:
    path = written(tmp_path, f"p,q,y\n{NUMBERS_AND_INF}x,31,1\n")
    with pytest.raises(UsageError):
        read_table(path, drop=["p"])
    assert list(read_table(path, drop=["p", "q"]).columns) == ["y"]
    with pytest.raises(UsageError, match=r"\[data\] drop: found the column 'z', allowed are"):
        read_table(path, drop=["z"])


def test_what_speaks_against_a_column(tmp_path: Path) -> None:
    header = "number,user_id,key,note,same,gone,city,paid,level,gappy\n"
    rows = "".join(
        f"{59 - i},{i * i + 7},k{i:04x},they said {i} times no {i},5,NA,c{i % 4},{i * i},{i / 2},"
        f"{'' if i % 2 else 3}\n"
        for i in range(60)
    )
    table = read_table(written(tmp_path, header + rows))
    found = {name: (str(each.kind), each.remark) for name, each in table.columns.items()}
    assert found == {
        "number": ("number", "an id: all values differ"),
        "user_id": ("number", "an id: all values differ"),
        "key": ("category", "an id: all values differ"),
        "note": ("text", ""),
        "same": ("number", "constant"),
        "gone": ("number", "all missing"),
        "city": ("category", ""),
        "paid": ("number", ""),
        "level": ("number", ""),
        "gappy": ("number", ""),
    }
    kinds = {"number": "number", "key": "category", "city": "text", "paid": "category"}
    table = read_table(written(tmp_path, header + rows), types=kinds)
    assert {name: str(table.columns[name].kind) for name in kinds} == kinds
    assert {table.columns[name].remark for name in kinds} == {""}
    assert words(table, "paid")[:3] == ["0", "1", "4"]


NUMBERS_AND_INF = "".join(f"{i},{'inf' if i == 9 else i},{i}\n" for i in range(30))
NUMBERS = "".join(f'"two\nlines",{i}.5\n' for i in range(30))


@pytest.mark.parametrize(
    ("text", "types", "sentence"),
    [
        ("", {}, "is empty"),
        ("\n \n", {}, "is empty"),
        ("a,b\n", {}, "has a line of names and no rows"),
        ("a,b,a\n1,2,3\n", {}, "found 'a' as the name of columns 1 and 3"),
        ("a,b\n1,2\n\n3,4,5\n6,7\n", {}, "t.csv line 4: found 3 fields, allowed is 2"),
        ("a,b\n1,2\n3\n", {}, "mend or remove the line, or set another delimiter than ',' by"),
        ('a,b\n"x\ny",2\n3\n', {}, "t.csv line 4: found 1 field, allowed is 2"),
        ("a,b\n1,\n\n2,-inf\n", {}, "line 4, column b: found '-inf', allowed is a finite number"),
        ("a,b\n1,\n\n2,-inf\n", {}, 'or set [data] missing = ["-inf"]'),
        ("a\n1\n1e999\n", {}, "line 3, column a: found '1e999', allowed is a finite number"),
        (f"a,p\n{NUMBERS}x,abc\n", {}, "line 62, column p: found 'abc', allowed is a number as"),
        (f"a,p\n{NUMBERS}x,abc\n", {}, 'set [data] types = { "p" = "category" }'),
        (
            f"a,p\n{NUMBERS}x,oops\n",
            {},
            "mend or remove the line, or, if it says that nothing is known, set [data] missing = "
            '["oops"]',
        ),
        (
            "d\n" + "".join(f"2024-02-{i:02}\n" for i in range(1, 31)),
            {},
            "line 31, column d: found '2024-02-30', allowed is a date written %Y-%m-%d as in 29",
        ),
        ("a\nx\n1\n", {"a": "number"}, "line 2, column a: found 'x', allowed is a number"),
        ("a\n1\nmaybe\n", {"a": "boolean"}, "line 3, column a: found 'maybe', allowed is true"),
        ("a\n1\n", {"a": "date"}, "line 2, column a: found '1', allowed is a date such as"),
        ("a\n1\n", {"b": "number"}, "[data] types: found the column 'b', allowed are the columns"),
        (b"PK\x03\x04rest", {}, "is a workbook or zip archive, allowed is text"),
        (bytes(range(256)), {}, "line 1: found a zero byte, allowed is text"),
        (gzip.compress(b"a,b\n1,2\n" * 99, mtime=0)[:-20], {}, "cannot be decompressed"),
        ('a,b\n"x,1\n' + "1,2\n" * 3_000_000, {}, "line 2: found 1 field, allowed is 2"),
    ],
)
def test_refused_in_one_sentence(
    tmp_path: Path, text: str | bytes, types: dict[str, str], sentence: str
) -> None:
    with pytest.raises(UsageError) as caught:
        read_table(written(tmp_path, text), types=types)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("none.csv", "no such file"),
        ("folder.csv", "is a folder"),
        ("t.xlsx", "found .xlsx, allowed is a file named .csv"),
    ],
)
def test_files_that_are_no_tables(tmp_path: Path, name: str, sentence: str) -> None:
    (tmp_path / "folder.csv").mkdir()
    written(tmp_path, "a\n1\n", "t.xlsx")
    with pytest.raises(UsageError, match=sentence):
        read_table(tmp_path / name)


def test_what_is_set_is_obeyed_or_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "a~b;c\n1~ü\n2~x\n".encode("cp1252"))
    assert words(read_table(path, delimiter="~", encoding="cp1252"), "b;c") == ["ü", "x"]
    with pytest.raises(UsageError, match="line 2: found bytes that are no utf-8"):
        read_table(path, encoding="utf-8")
    with pytest.raises(UsageError, match="encoding: found 'klingon'"):
        read_table(path, encoding="klingon")
    with pytest.raises(UsageError, match="delimiter: found '~~'"):
        read_table(path, delimiter="~~")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize(
    "above",
    [
        "",
        "\n\n",
        "sep=;\n",
        "Sales, of 2024\r\n\r\n",
        "# by Ann\n# not final, yet\n",
        "A\nB\n \n\n",
        "Sales of 2024;;\n;;\n",
        "Sales of 2024;;\nby: Ann;;\n",
        "Sales of 2024\nby: Ann\n",
        '"Sales; of 2024";;\n',
        "# by; Ann;;\n# not; final\n#\n",
    ],
)
def test_what_stands_above_the_names(tmp_path: Path, above: str, encoding: str) -> None:
    text = f'{above}no;"pri\nce";x\n7;1,5;\n3;2,5;\n'
    path = written(tmp_path, text.encode(encoding))
    table = read_table(path)
    assert list(table.columns) == ["no", "pri\nce", "x"]
    assert numbers(table, "pri\nce") == [1.5, 2.5]
    n_above = above.count("\n")
    assert table.first_line == n_above + 3
    assert ("lines before the names are left out" in table.remarks) == bool(above.strip())
    path.write_bytes(f"{text}4;;;;\n".encode(encoding))
    with pytest.raises(UsageError, match=f"line {n_above + 5}: found 5 fields, allowed is 3"):
        read_table(path)


def test_a_first_line_with_a_hash_or_a_gap_below_may_be_the_names(tmp_path: Path) -> None:
    assert list(read_table(written(tmp_path, "#id;b\n1;2\n5;6\n")).columns) == ["#id", "b"]
    assert list(read_table(written(tmp_path, "price\n3,5\n\n4,25\n1,5\n")).columns) == ["price"]
    assert list(read_table(written(tmp_path, "a,b\n1,2\n\n5,6\n")).columns) == ["a", "b"]
    for text in ("price\n3,5\n4,25\n", "place\n1.5,2\n1.5,3\n", "say\nwell, well\nyes, no\nor\n"):
        assert len(read_table(written(tmp_path, text)).columns) == 1
    saved = "# x y\n1.5 2.5\n3.5 4.5\n"  # as NumPy does
    assert len(read_table(written(tmp_path, saved)).columns) == 1
    assert list(read_table(written(tmp_path, "# x,y\n1.5,2\n3,4\n")).columns) == ["# x", "y"]
    assert "column 1" in read_table(written(tmp_path, "5;NA;7\n6;1;2\n7;2;3\n")).columns


def test_a_name_of_two_lines_is_no_title(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, '"a\nb";c;y\n1,5;x;2\n2,5;y;3\n'))
    assert list(table.columns) == ["a\nb", "c", "y"]


def test_names_that_are_missing(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, ",a,\n0,1.5,\n1,2.5,\n"))
    assert list(table.columns) == ["index", "a", "column 3"]
    assert "column 1 has no name: it is called index" in table.remarks


def test_words_above_words_are_names_and_numbers_above_numbers_are_not(tmp_path: Path) -> None:
    people = "39, State-gov, <=50K\n50, Private, <=50K\n38, State-gov, >50K\n"
    assert "column 1" in read_table(written(tmp_path, people)).columns
    years = "country,2019,2020\nA,1.5,2\nB,2.5,3\n"
    assert list(read_table(written(tmp_path, years)).columns) == ["country", "2019", "2020"]
    cars = "low,two,ok\nhigh,two,bad\nlow,four,bad\nhigh,four,ok\n"
    assert read_table(written(tmp_path, cars * 3)).n_rows == 12
    twice = (
        f"buying,doors,class\n{cars}buying,doors,class\n{cars}"  # two files, one behind the other
    )
    assert list(read_table(written(tmp_path, twice)).columns) == ["buying", "doors", "class"]


def test_a_large_file_is_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = "".join(f"{i}.5,w{i % 3},{i * i}\n" for i in range(100))
    path = written(tmp_path, f"a,b,c\n{rows}")
    whole = read_table(path)
    monkeypatch.setattr("pipeline.reading.csv_file._AT_ONCE", path.stat().st_size // 2)
    parts = read_table(path)
    assert list(parts.columns) == ["a", "b", "c"]
    for name, column in whole.columns.items():
        np.testing.assert_array_equal(parts.columns[name].values, column.values)


def test_place_of_a_row(tmp_path: Path) -> None:
    path = written(tmp_path, 'a,b\n"x\ny",1\n\nz,2\n')
    table = read_table(path)
    assert [place_of(table, row) for row in (0, 1)] == [f"{path} line 2", f"{path} line 5"]
