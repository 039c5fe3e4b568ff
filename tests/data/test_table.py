"""Tables, CSV and Parquet."""

import gzip
import re
import sys
from decimal import Decimal

import numpy as np
import pytest

from weft.data import DataError, load, load_table

pa = pytest.importorskip("pyarrow", reason='pip install "weft[tables]"')

HEADER = "area,rooms,garden,town,price"
ROWS = [
    f"{50 + i},{i % 4 + 1},{'true' if i % 2 else 'false'},{'Ulm' if i % 3 else 'Bonn'},{100.5 + i}" for i in range(10)
]


@pytest.fixture
def houses(tmp_path):
    path = tmp_path / "houses.csv"
    path.write_text("\n".join([HEADER, *ROWS]) + "\n")
    return path


def in_order(data):
    """All samples, by their first feature."""
    x, y = (np.concatenate([getattr(part, name) for part in (data.train, data.test)]) for name in "xy")
    order = np.argsort(x[:, 0])
    return x[order], y[order]


EXPECTED = np.array([[50 + i, i % 4 + 1, i % 2, i % 3 == 0, i % 3 != 0] for i in range(10)], float)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_numbers_words_and_booleans(tmp_path, separator):
    path = tmp_path / "houses.csv"
    path.write_bytes("\r\n".join([HEADER, *ROWS]).replace(",", separator).encode("utf-8-sig"))
    data = load(path, target="price", regression=True)
    assert repr(data) == "houses: train 8, test 2, samples (5,) float64"
    assert data.feature_names == ("area", "rooms", "garden", "town=Bonn", "town=Ulm")
    x, y = in_order(data)
    np.testing.assert_array_equal(x, EXPECTED)
    np.testing.assert_array_equal(y, np.float32(100.5 + np.arange(10))[:, None])


def test_parquet(tmp_path):
    from pyarrow import parquet

    table = pa.table({
        "area": pa.array(range(50, 60), pa.int16()),
        "town": pa.array(["Bonn", "Ulm"] * 5).dictionary_encode(),
        "cost": pa.array([Decimal(i) / 2 for i in range(10)]),
        "kind": ["house", "flat"] * 5,
    })  # fmt: skip
    parquet.write_table(table, tmp_path / "houses.parquet")
    data = load(tmp_path / "houses.parquet", target="kind")
    assert repr(data) == "houses: train 8, test 2, samples (4,) float64, 2 classes"
    x, y = in_order(data)
    np.testing.assert_array_equal(x, [[50 + i, i % 2 == 0, i % 2, i / 2] for i in range(10)])
    assert (data.class_names, y.tolist()) == (("flat", "house"), [1, 0] * 5)


def test_classes(houses):
    data = load(houses, target="rooms", ignore=["price", "town"], test=0.4)
    assert (data.class_names, data.feature_names) == (("1", "2", "3", "4"), ("area", "garden"))
    np.testing.assert_array_equal(in_order(data)[1], np.arange(10) % 4)


def test_a_target_that_is_called_so(houses):
    houses.write_text(houses.read_text().replace("rooms", "Label"))
    assert load(houses, test=4).class_names == ("1", "2", "3", "4")


def test_parts(tmp_path):
    for part in ("train", "val", "test"):
        (tmp_path / f"{part}.csv").write_text("\n".join([HEADER, *ROWS]))
    with gzip.open(tmp_path / "test.csv.gz", "wt") as file:
        file.write((tmp_path / "test.csv").read_text())
    (tmp_path / "test.csv").unlink()
    assert repr(load(tmp_path, target="garden")).endswith("train 10, dev 10, test 10, samples (5,) float64, 2 classes")


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (f"{HEADER}\n", {"target": "price"}, "expected rows below the header, found none"),
        ("a,b\n1,2\n3\n", {"target": "b"}, "as the header has names, found CSV parse error: Expected 2 columns, got 1"),
        ("a,a\n1,2\n", {"target": "a"}, "expected a header with names of its own for the columns, found 'a' twice"),
        ("1,2\n3,4\n", {"target": "2"}, "expected a header with the names of the columns, found 1, 2"),
        ("a,b\n1,2\n", {}, "called class, label, target, y, found the columns a, b; name the target: target='b'"),
        ("y,label\n1,2\n", {}, "expected one column called class, label, target, y, found the columns y, label"),
        ("a,b\n1,2\n", {"target": "c"}, "expected a column `c`, found the columns a, b; check its name"),
        ("a,b\n1,2\n", {"target": "b", "ignore": ["c"]}, "expected a column `c`, found the columns a, b; ignore"),
        ("a,b\n1,2\n", {"target": "b", "ignore": ["b"]}, "expected a target that is not ignored, found `b` as both"),
        ("a,b\n1,2\n", {"target": "b", "ignore": ["a"]}, "expected a column beside the target `b`, found none"),
        ("a,b\n1,2\n,3\nNA,3\n", {"target": "b"}, "a value in each row of column `a`, found nothing in row 2 (2 such); fill"),
        ("a,b\n1,2\n2,\n", {"target": "b"},
         "a value in each row of column `b`, found nothing in row 2 (1 such); fill them in, or leave out these rows"),
        ("a,b\n,2\n,3\n", {"target": "b"}, "expected values in column `a`, found none in any row"),
        ("a,b\n2020-01-01,2\n", {"target": "b"}, "expected numbers, words or booleans in column `a`, found type date32[day]"),
        ("a,b\n" + "".join(f"w{i},0\n" for i in range(101)), {"target": "b"},
         "expected at most 100 words in column `a`, found 101 distinct ones, such as 'w0'"),
        ("a,b\n1,0.5\n2,1.5\n", {"target": "b"}, ": b`: expected integer class labels, found fractions, of dtype float64; a"),
        ("a,b\n1,x\n2,y\n", {"target": "b", "regression": True}, ": b`: expected real numbers (N,) or (N, K), found dtype <U1"),
    ],
)  # fmt: skip
def test_refused(tmp_path, text, options, message):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        load(tmp_path / "t.csv", **options)
    assert str(tmp_path / "t.csv") in str(caught.value)


def test_no_text(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"a,b\n\xff\xfe,1\n")
    with pytest.raises(
        DataError, match="expected numbers or words in UTF-8 in column `a`, found other bytes; save it as"
    ):
        load(tmp_path / "t.csv", target="b")
    (tmp_path / "t.csv").write_bytes(b"gr\xf6\xdfe,b\n1,1\n")
    with pytest.raises(DataError, match="expected names of columns in UTF-8, found the byte 0xf6; save it as UTF-8"):
        load(tmp_path / "t.csv", target="b")
    (tmp_path / "t.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=r"expected a Parquet file, found.*; it is cut short or damaged"):
        load(tmp_path / "t.parquet", target="b")


def test_words_that_training_has_not(tmp_path):
    (tmp_path / "train.csv").write_text("a,y\nu,0\nv,1\nu,1\nv,0\n")
    (tmp_path / "test.csv").write_text("a,y\nw,0\n")
    message = "test.csv`: expected one of the 2 words that train has in `a`, found 'w' in row 1"
    with pytest.raises(DataError, match=re.escape(message)):
        load(tmp_path)
    (tmp_path / "test.csv").write_text("a,y\n1,0\n")
    with pytest.raises(DataError, match=r"test.csv`: expected words in column `a`, as in train, found dtype int64"):
        load(tmp_path)
    (tmp_path / "test.csv").write_text("a\nu\n")
    with pytest.raises(
        DataError, match=r"test.csv`: expected a column `y`, found the columns a; a table for the test has"
    ):
        load(tmp_path)


def test_several_tables(tmp_path):
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("a,y\n1,0\n")
    with pytest.raises(DataError, match=re.escape("expected train.csv and test.csv (or .parquet), or one such file")):
        load_table(tmp_path)


def test_without_pyarrow(houses, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.lib", None)
    with pytest.raises(ImportError, match=r'`load_table` needs pyarrow .*: pip install "weft\[tables\]"'):
        load(houses, target="price")


def test_options_of_other_kinds(houses):
    with pytest.raises(
        ValueError, match=r"`layout` is for images in .npz files, got 'NHWC' for `.*houses.csv`; leave it out"
    ):
        load(houses, layout="NHWC")
    with pytest.raises(ValueError, match="`target` is for tables"):
        load("digits", target="y")
