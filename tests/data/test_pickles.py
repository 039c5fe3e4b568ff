"""The restricted unpickler: reads what NumPy pickled under Python 2 and 3, and runs nothing."""

import pickle
import re

import numpy as np
import pytest

from weft.data import DataError
from weft.data.pickles import read_pickle


class Evil:
    """Unpickled without care, this would create a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
def test_arrays_of_bytes(tmp_path, rng, protocol):
    array = rng.integers(0, 256, (5, 7), dtype=np.uint8)
    (tmp_path / "a").write_bytes(pickle.dumps({b"data": array, b"labels": [1, 2], b"name": b"x"}, protocol=protocol))
    read = read_pickle(tmp_path / "a")
    assert read[b"labels"] == [1, 2]
    assert read[b"name"] == b"x"
    np.testing.assert_array_equal(read[b"data"].to_numpy(7), array)
    assert read[b"data"].to_numpy(6) is None


@pytest.mark.parametrize("array", [np.zeros((2, 3), "i2"), np.zeros(6, "u1"), np.asfortranarray(np.zeros((2, 3), "u1")),
                                   np.array([[1, None, "x"]])])  # fmt: skip
def test_other_arrays_are_not_guessed_at(tmp_path, array):
    (tmp_path / "a").write_bytes(pickle.dumps(array, protocol=2))
    assert read_pickle(tmp_path / "a").to_numpy(3) is None


def test_a_length_that_lies_is_refused(tmp_path):
    content = pickle.dumps(np.zeros((2, 3), np.uint8), protocol=2)
    assert content.count(b"K\x02K\x03\x86") == 1
    (tmp_path / "a").write_bytes(content.replace(b"K\x02K\x03\x86", b"K\x7fK\x03\x86"))  # claims 127 rows, holds 2
    assert read_pickle(tmp_path / "a").to_numpy(3) is None


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_nothing_runs(tmp_path, protocol):
    harm = tmp_path / "harm"
    (tmp_path / "a").write_bytes(pickle.dumps({b"data": Evil(harm)}, protocol=protocol))
    with pytest.raises(DataError, match=r"expected a pickle of arrays and lists, found the name `\w+\.open`, which is"):
        read_pickle(tmp_path / "a")
    assert not harm.exists()


@pytest.mark.parametrize(
    "content",
    [b"cos\nsystem\n(S'true'\ntR.", b"cnumpy\nload\n.", b"cnumpy.core.multiarray\nscalar\n.", b"c_codecs\ndecode\n.",
     b"cbuiltins\neval\n.", b"cbuiltins\ngetattr\n."],
)  # fmt: skip
def test_other_names_are_refused(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    module, name = content[1:].split(b"\n")[:2]
    with pytest.raises(DataError, match=re.escape(f"`{module.decode()}.{name.decode()}`, which is refused")):
        read_pickle(tmp_path / "a")


def test_encodings_are_refused(tmp_path):
    (tmp_path / "a").write_bytes(b"c_codecs\nencode\n(Vx\nVrot13\ntR.")
    with pytest.raises(DataError, match="found text in the encoding 'rot13'"):
        read_pickle(tmp_path / "a")


def test_every_truncation_is_one_clear_error(tmp_path):
    content = pickle.dumps({b"data": np.zeros((2, 3), np.uint8), b"labels": [1, 2]}, protocol=2)
    path = tmp_path / "a"
    for length in range(1, len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(DataError, match=re.escape(f"`{path}`: expected a ") + "(complete pickle|pickle of arrays)"):
            read_pickle(path)


def test_noise_is_one_clear_error_or_harmless(tmp_path, rng):
    content = bytearray(pickle.dumps({b"data": np.zeros((2, 3), np.uint8), b"labels": [1, 2]}, protocol=2))
    path = tmp_path / "a"
    for _ in range(150):
        noisy = content.copy()
        noisy[rng.integers(len(noisy))] = rng.integers(256)
        path.write_bytes(noisy)
        try:
            read_pickle(path)
        except DataError as error:
            assert str(path) in str(error)  # noqa: PT017
