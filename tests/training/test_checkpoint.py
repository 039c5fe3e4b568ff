"""What is written comes back bit for bit; every kind of damage is noticed and named; a failed write costs nothing."""

import contextlib
import errno
import json
import os

import ml_dtypes
import numpy as np
import pytest
from forged import forge
from safetensors.numpy import load_file, save_file

import weft
from weft.training.atomic import WriteError, write_atomically
from weft.training.checkpoint import CheckpointError, load_checkpoint, save_checkpoint

TREE = {
    "model": {"0.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "0.bias": np.zeros(0, np.float32)},
    "optimizer": {
        "state": {0: {"step": 3, "m": np.float64(1) / 3}},
        "param_groups": [{"lr": 0.1, "betas": (0.9, 0.99), "foreach": None}],
    },
    "history": [{"loss": float("nan")}, {"loss": float("inf")}, {"loss": -float("inf")}],
    "scalar": np.array(2.5),
    "flags": np.array([True, False]),
    "half": np.array([1.5, -2.0], ml_dtypes.bfloat16),
    "big_endian": np.arange(3, dtype=">i4"),
    "strided": np.arange(8)[::2],
    "name": "weft é",
    "done": False,
}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, TREE)
    return path


class TestRoundTrip:
    def test_all_leaves(self, path):
        got = load_checkpoint(path)
        assert got["optimizer"] == {
            "state": {"0": {"step": 3, "m": 1 / 3}},
            "param_groups": [{"lr": 0.1, "betas": [0.9, 0.99], "foreach": None}],
        }
        assert repr(got["history"]) == "[{'loss': nan}, {'loss': inf}, {'loss': -inf}]"
        assert (got["name"], got["done"]) == ("weft é", False)
        for name in ("scalar", "flags", "half", "big_endian", "strided"):
            np.testing.assert_array_equal(got[name], TREE[name])
            assert got[name].dtype == TREE[name].dtype.newbyteorder("=")
            assert got[name].shape == TREE[name].shape
        for name, array in TREE["model"].items():
            np.testing.assert_array_equal(got["model"][name], array)

    def test_other_readers_see_the_tensors(self, path):
        tensors = load_file(path)
        np.testing.assert_array_equal(tensors["model.0.weight"], TREE["model"]["0.weight"])

    def test_header_is_strict_json(self, path):
        def refuse(constant):
            raise AssertionError(constant)

        content = path.read_bytes()
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")], parse_constant=refuse)
        assert header["__metadata__"]["kind"] == "checkpoint"
        json.loads(header["__metadata__"]["json"], parse_constant=refuse)

    def test_equal_trees_are_equal_files(self, tmp_path):
        """Metadata stand in the order in which they were given, and data are aligned, for readers that map them."""
        for _ in range(5):
            save_checkpoint(tmp_path / "a", TREE)
            content = (tmp_path / "a").read_bytes()
            length = int.from_bytes(content[:8], "little")
            assert length % 8 == 0
            metadata = json.loads(content[8 : 8 + length])["__metadata__"]
            assert list(metadata) == ["format", "kind", "version", "json", "crc32"]

    def test_tensors(self, tmp_path):
        save_checkpoint(tmp_path / "t", {"x": weft.ones(2, requires_grad=True), "p": weft.Parameter(weft.zeros(1))})
        assert load_checkpoint(tmp_path / "t")["x"].tolist() == [1.0, 1.0]

    def test_equal_paths_stay_apart(self, tmp_path):
        tree = {"a": {"b": np.array([1])}, "a.b": np.array([2])}
        save_checkpoint(tmp_path / "t", tree)
        assert load_checkpoint(tmp_path / "t") == tree

    def test_no_arrays_and_new_folders(self, tmp_path):
        save_checkpoint(tmp_path / "x" / "y" / "t", {"a": 1})
        assert load_checkpoint(tmp_path / "x" / "y" / "t") == {"a": 1}


class TestWhatCannotBeSaved:
    def test_type(self, tmp_path):
        with pytest.raises(TypeError, match=r"`a\.1` must be a number, .* got set"):
            save_checkpoint(tmp_path / "t", {"a": [1, {2}]})
        with pytest.raises(TypeError, match=r"`a` must not have the key '\$array'"):
            save_checkpoint(tmp_path / "t", {"a": {"$array": 1}})
        assert not list(tmp_path.iterdir())

    def test_dtype(self, tmp_path):
        with pytest.raises(TypeError, match=r"safetensors has: .*complex128"):
            save_checkpoint(tmp_path / "t", {"a": np.zeros(2, complex)})


class TestDamage:
    def test_every_truncation(self, path):
        content = path.read_bytes()
        for n in range(len(content)):
            path.write_bytes(content[:n])
            with pytest.raises(CheckpointError, match=r"a\.safetensors`: expected .*, found .*; "):
                load_checkpoint(path)

    def test_every_flipped_byte(self, path):
        """A flip is noticed, or it changed nothing that is loaded (white space)."""
        content = path.read_bytes()
        loaded = repr(load_checkpoint(path))
        for i in range(len(content)):
            path.write_bytes(content[:i] + bytes([content[i] ^ 0x10]) + content[i + 1 :])
            with contextlib.suppress(CheckpointError):
                assert repr(load_checkpoint(path)) == loaded, i

    def test_says_how_much_is_there(self, path):
        content = path.read_bytes()
        path.write_bytes(content[:-1])
        with pytest.raises(CheckpointError, match=rf"found the first {len(content) - 1} of {len(content)} bytes"):
            load_checkpoint(path)

    def test_flipped_value(self, path):
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(
            CheckpointError, match=r"expected an intact file, found bytes that do not match its checksum"
        ):
            load_checkpoint(path)

    def test_missing(self, tmp_path):
        with pytest.raises(
            CheckpointError, match=r"nope`: expected a checkpoint, found nothing of that name; check the path"
        ):
            load_checkpoint(tmp_path / "nope")

    def test_folder(self, tmp_path):
        with pytest.raises(CheckpointError, match=r"expected a checkpoint, found a folder"):
            load_checkpoint(tmp_path)

    @pytest.mark.parametrize(
        ("content", "what"),
        [
            (b"", "an empty file"),
            (b"PK\3\4" + bytes(100), "104 bytes of something else"),
            (b"{}", "2 bytes of something else"),
            (b"not a checkpoint at all", "23 bytes of something else"),
        ],
    )
    def test_other_formats(self, tmp_path, content, what):
        (tmp_path / "t").write_bytes(content)
        with pytest.raises(CheckpointError, match=rf"expected a safetensors file, found {what}"):
            load_checkpoint(tmp_path / "t")

    def test_foreign_safetensors(self, tmp_path):
        save_file({"a": np.zeros(2)}, tmp_path / "t")
        with pytest.raises(
            CheckpointError, match=r"expected a weft checkpoint, found a safetensors file of another program"
        ):
            load_checkpoint(tmp_path / "t")

    def test_wrong_kind(self, tmp_path):
        save_checkpoint(tmp_path / "t", {}, kind="model")
        with pytest.raises(
            CheckpointError, match=r"expected a checkpoint, found a model; .*resume from last\.safetensors"
        ):
            load_checkpoint(tmp_path / "t")
        assert load_checkpoint(tmp_path / "t", kind=("model", "checkpoint")) == {}

    def test_later_version(self, tmp_path, monkeypatch):
        monkeypatch.setattr("weft.training.checkpoint.VERSION", 99)
        save_checkpoint(tmp_path / "t", {})
        monkeypatch.undo()
        with pytest.raises(CheckpointError, match=r"expected format version 1, found version 99"):
            load_checkpoint(tmp_path / "t")


class TestAtomicWrite:
    @pytest.mark.parametrize("function", ["fsync", "replace"])
    @pytest.mark.parametrize("before", [b"the previous one", None])
    def test_full_disk(self, tmp_path, monkeypatch, function, before):
        path = tmp_path / "a"
        if before is not None:
            path.write_bytes(before)

        def full(*_):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, function, full)
        state = "the file that was there before is intact" if before else "nothing was left behind"
        with pytest.raises(WriteError, match=rf"a` could not be written: No space left on device; {state}") as caught:
            write_atomically(path, b"the new one")
        assert "\n" not in str(caught.value)
        assert [p.read_bytes() for p in tmp_path.iterdir()] == ([before] if before else [])

    def test_interrupted(self, tmp_path, monkeypatch):
        def interrupt(*_):
            raise KeyboardInterrupt

        (tmp_path / "a").write_bytes(b"old")
        monkeypatch.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            write_atomically(tmp_path / "a", b"new")
        assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"old"]

    def test_no_folder_possible(self, tmp_path):
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(WriteError, match=r"could not be written: (Not a directory|File exists)"):
            write_atomically(tmp_path / "file" / "a", b"new")

    def test_really_full(self):
        """/dev/full is a disk that is always full."""
        if not os.path.exists("/dev/full"):
            pytest.skip("no /dev/full on this system")
        with pytest.raises(WriteError, match="could not be written"):
            write_atomically("/dev/full/a", b"x")


class TestTrees:
    """Checkpoints with a right checksum."""

    def load(self, path, text, arrays=None):
        path.write_bytes(forge(text, arrays or {}, "checkpoint"))
        return load_checkpoint(path)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("[1]", "expected the tree of a checkpoint, found a list in its place"),
            ("", "expected the tree of a checkpoint, found Expecting value"),
            (r'{"a": "\ud800"}', "surrogates not allowed"),
            ('{"a": NaN}', "found the constant NaN, which JSON has not"),
            ('{"a": {"b": 1, "b": 2}}', "found JSON with the key 'b' twice"),
            ('{"a": ' + "9" * 5000 + "}", "found Exceeds the limit"),
            (
                '{"a": {"b": [1, ' + "[" * 120 + "]" * 120 + "]}}",
                r"expected at most 100 levels at `a\.b\.1\.0\.0.*`, found more",
            ),
            ("[" * 50_000 + "]" * 50_000, "found JSON that is nested too deeply"),
            ('{"a": {"b": {"$array": "c"}}}', r"expected the name of a tensor in the file at `a\.b`, found c;"),
            ('{"a": [{"$array": 1}]}', r"expected a tensor's name or a number's at `a\.0`, found {'\$array': 1};"),
            ('{"a": {"$float": "1e5"}}', "expected nan or inf at `a`, found 1e5;"),
            ('{"a": {"$float": "nan", "b": 1}}', "expected a tensor's name or a number's at `a`, found"),
        ],
    )
    def test_lies(self, tmp_path, text, message):
        with pytest.raises(CheckpointError, match=rf"^`.*t`: .*{message}") as caught:
            self.load(tmp_path / "t", text)
        assert "\n" not in str(caught.value)

    def test_limits(self, tmp_path, monkeypatch):
        save_checkpoint(tmp_path / "t", {"a": [1.0] * 400})
        monkeypatch.setattr("weft.training.tensor_file.MOST_NODES", 300)
        with pytest.raises(
            CheckpointError, match=r"JSON of \d+ characters and up to \d+ values, where 300 are the limit"
        ):
            load_checkpoint(tmp_path / "t")
        monkeypatch.setattr("weft.training.checkpoint.MOST_NODES", 300)
        with pytest.raises(ValueError, match=r"`tree` must be smaller beside its arrays, got JSON of \d+ characters"):
            save_checkpoint(tmp_path / "t", {"a": [2.0] * 400})
        monkeypatch.undo()
        assert load_checkpoint(tmp_path / "t") == {"a": [1.0] * 400}

    def test_depth_can_be_read_again(self, tmp_path):
        tree = {"a": 1}
        for _ in range(99):
            tree = {"a": tree}
        save_checkpoint(tmp_path / "t", tree)
        assert load_checkpoint(tmp_path / "t") == tree
        with pytest.raises(TypeError, match=r"`a\.a\.a.*` must be nested at most 100 levels deep"):
            save_checkpoint(tmp_path / "t", {"a": tree})

    def test_backslashes_in_strings(self, tmp_path):
        assert self.load(tmp_path / "t", r'{"a": "C:\\udder", "b": "\ud83d\ude00"}') == {"a": "C:\\udder", "b": "😀"}

    def test_colons_in_strings(self, tmp_path):
        assert self.load(tmp_path / "t", '{"a:": ":::", "b": {"c": "\\u003a"}}') == {"a:": ":::", "b": {"c": ":"}}

    def test_half_precision_and_fp8(self, tmp_path):
        arrays = {
            name: np.array([1.5, -2.0], getattr(ml_dtypes, name))
            for name in ("float8_e4m3fn", "float8_e5m2", "bfloat16")
        }
        save_checkpoint(tmp_path / "t", arrays)
        for name, array in load_checkpoint(tmp_path / "t").items():
            assert array.dtype == name
            assert array.tolist() == [1.5, -2.0]
