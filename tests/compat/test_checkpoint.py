"""PyTorch's checkpoints: what PyTorch 2.13 wrote comes out equal; what is more than data is refused, and never run."""

import io
import pickle
import tracemalloc
import zipfile
from collections import Counter, OrderedDict
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

import weft
from weft import layers as nn
from weft.compat import checkpoint, pickled
from weft.compat.checkpoint import CheckpointError

# Of a Linear(2, 1) after a step of Adam, with tensors of one storage and of several dtypes: by `torch.save` of 2.13.0
WRITTEN = Path(__file__).parent / "data" / "torch_2_13.pt"


def archive(content: bytes, storages: tuple[bytes, ...] = (), **options) -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **options) as made:
        made.writestr("archive/data.pkl", content)
        for key, storage in enumerate(storages):
            made.writestr(f"archive/data/{key}", storage)
    file.seek(0)
    return file


def tensor(count: int, offset: int, size: tuple, stride: tuple) -> bytes:
    """A pickle of one tensor of storage "0"."""
    inner = b"(" + pickle.dumps("storage", 2)[2:-1] + b"ctorch\nFloatStorage\n"
    inner += b"".join(pickle.dumps(part, 2)[2:-1] for part in ("0", "cpu", count)) + b"tQ"
    parts = b"".join(pickle.dumps(part, 2)[2:-1] for part in (offset, size, stride, False))
    return b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(" + inner + parts + b"ccollections\nOrderedDict\n)RtR."


class TestWrittenByTorch:
    def test_tensors(self):
        found = checkpoint.load(WRITTEN)
        assert found["base"].tolist() == [0, 1, 2, 3, 4, 5]
        assert found["view"].tolist() == [[1, 3], [2, 4]]
        assert np.shares_memory(found["base"].numpy(), found["view"].numpy())
        assert found["bf16"].dtype == ml_dtypes.bfloat16
        assert found["bf16"].tolist() == [1.5, -2.0]
        assert found["u16"].dtype == np.uint16
        assert found["flag"].tolist() == [True, False]
        assert isinstance(found["parameter"], nn.Parameter)
        assert found["parameter"].requires_grad
        assert (found["epoch"], found["size"], found["dtype"]) == (3, (1, 2), np.dtype(np.float16))

    def test_a_training_goes_on(self):
        """By Adam's formula from the state that is in the file."""
        found = checkpoint.load(WRITTEN)
        model = nn.Linear(2, 1)
        optimizer = weft.optimizers.Adam(model.parameters())
        model.load_state_dict(found["model"])
        optimizer.load_state_dict(found["optimizer"])
        before, state = model.weight.detach().numpy().astype(np.float64), found["optimizer"]["state"][0]
        model(weft.ones((1, 2))).sum().backward()
        optimizer.step()
        m = 0.9 * state["exp_avg"].numpy().astype(np.float64) + 0.1
        v = 0.999 * state["exp_avg_sq"].numpy().astype(np.float64) + 0.001
        expected = before - 1e-3 * (m / (1 - 0.9**2)) / (np.sqrt(v / (1 - 0.999**2)) + 1e-8)
        np.testing.assert_allclose(model.weight.detach().numpy(), expected, rtol=1e-6)
        assert found["scheduler"]["milestones"] == Counter([1, 3])


class TestRoundTrip:
    def test_values(self, tmp_path):
        tree = OrderedDict(
            a={"x": [1, -2, 10**30, 2.5, float("inf"), None, True, "é q\x00", b"\x00\xff", 1 + 2j], 3: (1, (2,), ())},
            b={1, 2},
            c=Counter({7: 2}),
            d=np.float32(1.5),
        )
        checkpoint.save(tree, tmp_path / "a.pt")
        assert checkpoint.load(tmp_path / "a.pt") == tree

    @pytest.mark.parametrize(
        "dtype", ["float32", "float64", "float16", "bfloat16", "int8", "uint16", "bool", "complex64"]
    )
    @pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)])
    def test_arrays(self, dtype, shape):
        file, array = io.BytesIO(), np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
        checkpoint.save([array, weft.asarray(array.T), array.astype(array.dtype.newbyteorder(">"))], file)
        file.seek(0)
        for found, expected in zip(checkpoint.load(file), (array, array.T, array), strict=True):
            assert found.dtype == array.dtype
            np.testing.assert_array_equal(found.numpy(), expected)

    def test_tied_weights_are_written_once(self):
        model, file = nn.Linear(3, 2), io.BytesIO()
        checkpoint.save([model.weight, model.weight, model.bias], file)
        file.seek(0)
        first, second, _ = checkpoint.load(file)
        assert np.shares_memory(first.detach().numpy(), second.detach().numpy())
        assert len(zipfile.ZipFile(file).namelist()) == 5

    def test_other_order_of_bytes(self):
        file = archive(tensor(2, 0, (2,), (1,)), (np.array([1, 2], ">f4").tobytes(),))
        with zipfile.ZipFile(file, "a") as made:
            made.writestr("archive/byteorder", "big")
        assert checkpoint.load(file).tolist() == [1, 2]

    @pytest.mark.parametrize(
        ("tree", "message"),
        [
            ({"model": nn.Linear(2, 1)}, r"got a Linear at \['model'\]; save its state_dict\(\)"),
            ([[print]], r"got a builtin_function_or_method at \[0\]\[0\]"),
            (np.array(["a"]), "dtypes that PyTorch has, got <U1 at its root"),
        ],
    )
    def test_what_cannot_be_saved(self, tree, message, tmp_path):
        with pytest.raises(TypeError, match=message):
            checkpoint.save(tree, tmp_path / "a.pt")
        assert not list(tmp_path.iterdir())

    def test_what_comes_twice_is_one(self):
        """Without it, lists of lists double with each level."""
        shared, weight = [1], nn.Linear(2, 2).weight
        for _ in range(60):
            shared = [shared, shared]
        file = io.BytesIO()
        checkpoint.save({"a": weight, "b": weight, "c": shared}, file)
        assert len(file.getvalue()) < 3000
        file.seek(0)
        found = checkpoint.load(file)
        assert found["a"] is found["b"]
        assert found["c"][0] is found["c"][1]

    @pytest.mark.parametrize(
        "value",
        [np.float64(0.1), {np.int64(3): 1}, {"x": b""}, {(1, 2j): 1}, 2**30000],
        ids=["scalar", "key", "empty", "tuple", "long"],
    )
    def test_small_things(self, value):
        file = io.BytesIO()
        checkpoint.save(value, file)
        file.seek(0)
        found = checkpoint.load(file)
        assert found == value
        assert not isinstance(found, weft.Tensor)

    @pytest.mark.parametrize("name", ["float8_e5m2", "float8_e4m3fn", "float8_e5m2fnuz", "float8_e4m3fnuz"])
    def test_eight_bits(self, name):
        file, array = io.BytesIO(), np.arange(6.0).reshape(2, 3).astype(getattr(ml_dtypes, name))
        checkpoint.save(array, file)
        file.seek(0)
        np.testing.assert_array_equal(checkpoint.load(file).numpy().astype(float), array.astype(float))

    @pytest.mark.parametrize(
        "value", [{(1, (2, 3)): 1}, 2**40000, np.ma.masked_array([1.0, 2.0], [0, 1])], ids=["key", "long", "masked"]
    )
    def test_what_could_not_be_read_again_is_not_written(self, value, tmp_path):
        with pytest.raises(TypeError, match="`obj` must"):
            checkpoint.save(value, tmp_path / "a.pt")

    @pytest.mark.parametrize(("mark", "wanted"), [("conj", [1 - 2j]), ("neg", [-1 - 2j])])
    def test_lazy_views(self, mark, wanted):
        """PyTorch keeps x.conj() as x and a mark."""
        content = tensor(1, 0, (1,), (1,)).replace(b"FloatStorage", b"ComplexFloatStorage")
        marked = content.replace(b")RtR.", b")R}X" + len(mark).to_bytes(4, "little") + mark.encode() + b"\x88stR.")
        found = checkpoint.load(archive(marked, (np.array([1 + 2j], "c8").tobytes(),)))
        assert found.tolist() == wanted


class Called:
    """Tells if it was ever made of a file."""

    def __init__(self, *_):
        raise AssertionError("called")

    def __reduce__(self):
        return Called, (1,)


class TestRefused:
    @pytest.mark.parametrize(
        ("content", "named"),
        [
            (pickle.dumps(object.__new__(Called)), "Called, which is none that data need"),
            (pickle.dumps(print), "builtins.print"),
            (pickle.dumps(Path("a")), "Path"),
            (b"\x80\x04\x8c\x08builtins\x8c\x07getattr\x93.", "builtins.getattr"),
            (b"\x80\x02K\x01K\x02\x85R.", "a call of something"),
            (b"\x80\x02}}b.", "a state for a dict"),
            (b"\x80\x02ccollections\nOrderedDict\n)R}X\x01\x00\x00\x00aK\x01sb.", "the state of an OrderedDict"),
            (b"\x80\x02]K\x01s.", "damaged|where a dict belongs|operand"),
            (b"\x80\x02K\x01", "without an end|damaged"),
            (b"\x80\x02(K\x01t", "without an end|damaged"),
            (b"\x80\x02.", "without its operand"),
            (b"(i__main__\nC\n.", "INST"),
            (b"}((K\x01tK\x01tK\x02s.", "a tuple as a key"),
            (b"\x80\x04]K\x01\x93.", "a name that is no string"),
            (b"ctorch\nFloatStorage\n.", "a storage, a type or a function as a value"),
            (b"](c_codecs\nencode\ne.", "a storage, a type or a function as a value"),
        ],
    )
    def test_what_is_no_data(self, content, named):
        with pytest.raises(CheckpointError, match=named):
            checkpoint.load(archive(content))

    def test_calls_that_make_much(self, monkeypatch):
        given = b"(X\x10\x00\x00\x00" + b"a" * 16 + b"X\x06\x00\x00\x00latin1t\x940" + b"c_codecs\nencode\n\x94"
        monkeypatch.setattr(pickled, "MOST_MADE", 16 * 100)
        checkpoint.load(archive(given + b"h\x01h\x00R0" * 100 + b"N."))
        with pytest.raises(CheckpointError, match="calls that make more than 1600 bytes"):
            checkpoint.load(archive(given + b"h\x01h\x00R0" * 101 + b"N."))

    @pytest.mark.parametrize(
        ("count", "offset", "size", "stride"),
        [(3, 0, (3,), (1,)), (2, 1, (2,), (1,)), (2, 0, (2,), (2,)), (2, 0, (-1,), (1,)), (2, 0, (2,), (-1,)), (2, 0, (2,), ()),
         (2, 0, (1 << 40,), (0,)), (2, 0, (2,) * 65, (0,) * 65), (-1, 0, (1,), (1,)), (2, -1, (1,), (1,))],
    )  # fmt: skip
    def test_tensors_beyond_their_storage(self, count, offset, size, stride):
        with pytest.raises(CheckpointError, match=r"a tensor|the storage '0' has"):
            checkpoint.load(archive(tensor(count, offset, size, stride), (bytes(8),)))

    def test_other_files(self, tmp_path):
        for content, message in [
            (b"", "0 bytes of something else"),
            (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.rest", "the format of before PyTorch 1.6"),
            (archive(b"N.", compression=zipfile.ZIP_DEFLATED).getvalue(), "a compressed archive"),
            (archive(tensor(2, 0, (2,), (1,))).getvalue(), "the storage '0' is missing"),
        ]:
            (tmp_path / "a.pt").write_bytes(content)
            with pytest.raises(CheckpointError, match=message) as caught:
                checkpoint.load(tmp_path / "a.pt")
            assert str(tmp_path / "a.pt") in str(caught.value)
        with pytest.raises(CheckpointError, match="found nothing of that name"):
            checkpoint.load(tmp_path / "b.pt")


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
    """Bytes changed, cut, doubled or moved."""
    changed = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        at, length = int(rng.integers(len(changed))), int(rng.integers(1, 40))
        match rng.integers(4):
            case 0:
                changed[at] = rng.integers(256)
            case 1:
                del changed[at : at + length]
            case 2:
                changed[at:at] = changed[at : at + length]
            case _:
                changed[at : at + 4] = rng.bytes(4)
    return bytes(changed)


@pytest.mark.parametrize("count", [200, pytest.param(4000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("inside", [False, True], ids=["archive", "pickle"])
def test_mutated(count, inside):
    """An error of ours, or data; without much memory. In an archive, checksums find most: so in its pickle, too."""
    content, rng = WRITTEN.read_bytes(), np.random.default_rng(count)
    with zipfile.ZipFile(io.BytesIO(content)) as whole:
        parts = {name: whole.read(name) for name in whole.namelist()}
    read = 0
    tracemalloc.start()
    for _ in range(count):
        file = io.BytesIO(mutate(content, rng))
        if inside:
            file = io.BytesIO()
            with zipfile.ZipFile(file, "w") as made:
                for name, part in parts.items():
                    made.writestr(name, mutate(part, rng) if name.endswith("data.pkl") else part)
            file.seek(0)
        try:
            checkpoint.load(file)
            read += 1
        except CheckpointError:
            continue
    assert tracemalloc.get_traced_memory()[1] < 64 << 20
    tracemalloc.stop()
    assert read < count
