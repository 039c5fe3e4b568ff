"""Series from CSV files: what is recognised, what is said of what is wrong, how the time goes on."""

import zipfile

import numpy as np
import pytest

from weft.data import DataError, read_series


@pytest.fixture
def read(tmp_path):
    def read(text, *args, **options):
        (tmp_path / "a.csv").write_bytes(text.encode() if isinstance(text, str) else text)
        return read_series(tmp_path / "a.csv", *args, **options)

    return read


@pytest.mark.parametrize(
    ("text", "values", "times"),
    [
        ("Month,#Passengers\n1949-11,112\n1949-12,118\n", [112, 118], ["1950-01", "1950-02"]),
        ("Date,T\r\n12/30/1990,13.5\r\n12/31/1990,13\r\n", [13.5, 13], ["01/01/1991", "01/02/1991"]),
        ('"YEAR","SUN"\n1700,5\n1701,11\n', [5, 11], ["1702", "1703"]),
        ("date;x\n28.02.2024;1\n29.02.2024;2\n", [1, 2], ["01.03.2024", "02.03.2024"]),
        ("d\tx\n31/01/2024\t1\n01/02/2024\t2\n", [1, 2], ["02/02/2024", "03/02/2024"]),
        ("d,x\n2024-01-01,1\n2024-04-01,2\n2024-07-01,2\n", [1, 2, 2], ["2024-10-01", "2025-01-01"]),
        ("d,x\n2024-01-01 23:00,1\n2024-01-01 23:30,2\n", [1, 2], ["2024-01-02 00:00", "2024-01-02 00:30"]),
        ("3.5\n4\n", [3.5, 4], ["2", "3"]),
        ("x\n3\n4\n\n", [3, 4], ["2", "3"]),
        ("1990,3\n1992,1e2\n", [3, 100], ["1994", "1996"]),
        ("\ufeffx,d\n1,2024-12-30\n2,2024-12-31\n", [1, 2], ["2025-01-01", "2025-01-02"]),
    ],
)
def test_recognised(read, text, values, times):
    series = read(text)
    assert series.values.tolist() == values
    assert series.times(len(series), len(series) + 2) == times
    assert series.filled == 0


def test_columns_by_name_and_number(read):
    text = "year,a,b\n1,2,3\n2,4,5\n"
    assert read(text, "b").values.tolist() == [3, 5]
    assert read(text, "2").values.tolist() == [2, 4]
    assert read(text, "b").name == "b"
    assert read("a,b\n1,x\n2,y\n", "a").values.tolist() == [1, 2]


def test_what_is_missing_repeats_the_value_before(read):
    series = read("d,x\n2024-01-01,1\n2024-01-02,\n2024-01-03,nan\n2024-01-06,2\n2024-01-07,3\n", fill=True)
    assert series.values.tolist() == [1, 1, 1, 1, 1, 2, 3]
    assert series.filled == 4
    assert series.times(5, 8) == ["2024-01-06", "2024-01-07", "2024-01-08"]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("x\n1\n2,5\n", {}, "expected 1 fields in line 3, found 2"),
        ("d,x\n2024-01,1\n2024-02,?2\n", {}, r"expected a number in column 'x' of line 3, found '\?2'; mend that line"),
        ("d,x\n2024-01,1\n2024-02,inf\n", {}, "expected a number in column 'x' of line 3, found 'inf'"),
        ("d,x\n2024-01,1\n2024-02,\n", {}, r"expected a number in column 'x' of line 3, found none; .* give --fill"),
        ("d,x\n2024-01,1\n2024-02,NaN\n", {}, "expected a number in column 'x' of line 3, found none"),
        ("d,x\n2024-01,\n2024-02,1\n", {"fill": True}, "expected a number to begin with in line 2, found none"),
        ("d,x\n2024-01-01,1\n2024-01-02,1\n2024-01-04,2\n", {},
         "expected a step of 1 days to line 4, found 2 from '2024-01-02' to '2024-01-04'; fill in what is missing, or give --fill"),
        ("d,x\n1,1\n3,1\n5,1\n6,2\n", {"fill": True}, "expected a step of 2 to line 5, found 1 .*; make the times regular"),
        ("d,x\n2024-02,1\n2024-01,1\n", {}, "expected a later time in line 3 than '2024-02', found '2024-01'; sort"),
        ("d,x\n2024-02,1\n2024-02,1\n", {}, "expected a later time in line 3 than '2024-02'"),
        ("d,x\n2024-01,1\nsoon,2\n", {}, "expected a date, such as '2024-01', in line 3, found 'soon'"),
        ("year,a,b\n1,2,3\n2,4,5\n", {}, "expected one column of numbers, found a, b; name it with --column"),
        ("year,a\n1,2\n2,4\n", {"column": "c"}, "expected a column 'c', found year, a; name one of these with --column"),
        ("d,x\n2024-01,a\n2024-02,b\n", {}, "expected one column of numbers, found none"),
        ("d,x\n2024-01,1\n", {}, "expected at least two lines with numbers, found 1"),
        (b"\xff\xfe1\n", {}, "expected text in UTF-8"),
        ("d,x\n2000-01-01,1\n2000-01-02,1\n2099-01-02,1\n", {"fill": True}, "expected times without long gaps"),
    ],
)  # fmt: skip
def test_what_is_wrong(read, text, options, message):
    with pytest.raises(DataError, match=message):
        read(text, **options)


def test_no_file(tmp_path):
    with pytest.raises(DataError, match="found nothing of that name"):
        read_series(tmp_path / "nowhere")


def test_values_are_float64(read):
    assert read("0.1\n0.2\n").values.dtype == np.float64


def test_a_date_that_is_none_is_named(tmp_path):
    """Not the first one, which is right."""
    lines = [f"19{49 + i // 12}-{i % 12 + 1:02},{i}" for i in range(40)]
    lines[30] = "1951-13,30"
    (tmp_path / "a.csv").write_text("Month,n\n" + "\n".join(lines))
    with pytest.raises(
        DataError, match="expected a date, such as '1949-01', in line 32, found '1951-13'; mend that line"
    ):
        read_series(tmp_path / "a.csv")


def test_an_archive(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.csv", bytes(range(256)) * 9)
    with pytest.raises(
        DataError, match=r"expected text in UTF-8, found a .zip archive; unpack it, and name the file in it"
    ):
        read_series(tmp_path / "a.zip")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Date,n\nJan 1949,1\nFeb 1949,2\n", "expected dates such as .* in column 'Date', found 'Jan 1949' in line 2"),
        (
            "t,n\n2001-01-01T00:00Z,1\n2001-01-02T00:00Z,2\n",
            "expected dates such as .* in column 't', found '2001-01-01T",
        ),
        ("Year,a,b\n1950,1,2\n1949,2,3\n1951,1,1\n", "expected a later time in line 3 than '1950', found '1949'"),
        (
            "d,x\n2024-01-31,1\n2024-02-29,2\n2024-03-31,3\n",
            "expected a step of .* days to line .*; write months as 1990-01",
        ),
        ("1\n1_0\n", "expected a number in column '1' of line 2, found '1_0'"),
    ],
)
def test_times_that_are_not_understood(tmp_path, text, message):
    """They are not passed over: the series might be in any order."""
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_series(tmp_path / "a.csv", "a" if ",a," in text else None)


def test_a_column_by_its_number(tmp_path):
    (tmp_path / "a.csv").write_text("place,a,b\nhere,1,2\nthere,3,4\n")
    assert read_series(tmp_path / "a.csv", 3).values.tolist() == [2, 4]
    assert read_series(tmp_path / "a.csv", "a").values.tolist() == [1, 3]


def test_the_end_of_dates(tmp_path):
    (tmp_path / "a.csv").write_text("d,x\n9999-11,1\n9999-12,2\n")
    series = read_series(tmp_path / "a.csv")
    assert series.times(0, 2) == ["9999-11", "9999-12"]
    with pytest.raises(ValueError, match="`stop` must be at most 2, since dates end with the year 9999, got 3"):
        series.times(1, 3)
