"""Files of every kind that weft reads, and what can be done to them: the checksums mended, or not."""

import gzip
import io
import json
import pickle
import zipfile

import numpy as np
from safetensors.numpy import save

import weft
from weft import layers as nn
from weft import optimizers as optim
from weft.data import load_cifar, load_mnist, load_npz, read_idx
from weft.training import EarlyStopping, Trainer, build_model, load_checkpoint, load_model, model_state
from weft.training.checkpoint import _checksum, _pack
from weft.training.cli.train import _recipe_of
from weft.training.recipe import Recipe

ARCHITECTURE = {"name": "mlp", "input_shape": [4], "num_classes": 3, "hidden": [5]}


# --- a file of each kind, and what reads it -----------------------------------------------------------------------------
def idx(array):
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def npz(arrays, method=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in arrays.items():
            archive.writestr(f"{name}.npy", content)
    return file.getvalue()


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def forge(text, arrays, kind):
    """A checkpoint with this JSON, whatever it says, and a right checksum."""
    metadata = {"format": "weft", "kind": kind, "version": "1", "json": text, "crc32": _checksum(text, arrays)}
    return save(arrays, metadata)


class Idx:
    """Plain: there is no checksum, so that elements may differ."""

    checked = False
    name = "a"

    def __init__(self, rng):
        self.inner = idx(rng.integers(0, 256, (5, 4, 3), dtype=np.uint8))

    def parts(self):
        return [self.inner]

    def whole(self, parts):
        return parts[0]

    def read(self, path):
        return [read_idx(path)]


class GzippedIdx(Idx):
    checked = True

    def whole(self, parts):
        return gzip.compress(parts[0], 1, mtime=0)


class Mnist(GzippedIdx):
    """One file of four."""

    name = "train-images-idx3-ubyte.gz"

    def read(self, path):
        for part in ("train", "t10k"):
            labels = bytes([0, 0, 8, 1, 0, 0, 0, 5, 1, 2, 3, 4, 5])
            (path.parent / f"{part}-labels-idx1-ubyte").write_bytes(labels)
        (path.parent / "t10k-images-idx3-ubyte").write_bytes(self.inner)
        data = load_mnist(path.parent)
        return [data.train.x, data.train.y, data.test.x]


class CifarBinary(Idx):
    name = "data_batch_1.bin"

    def __init__(self, rng):
        self.inner = rng.integers(0, 10, (2, 3073), dtype=np.uint8).tobytes()

    def read(self, path):
        for i in range(2, 6):
            (path.parent / f"data_batch_{i}.bin").write_bytes(self.inner)
        (path.parent / "test_batch.bin").write_bytes(self.inner)
        data = load_cifar(path.parent)
        return [data.train.x, data.train.y]


class CifarPython(CifarBinary):
    """The machine that reads pickles believes nothing, so that every byte may be anything."""

    name = "data_batch_1"
    protocol = 2

    def __init__(self, rng):
        batch = {
            b"labels": [1, 2],
            b"data": rng.integers(0, 256, (2, 3072), dtype=np.uint8),
            b"filenames": [b"a", b"b"],
        }
        self.inner = pickle.dumps(batch, protocol=self.protocol)

    def parts(self):
        middle = self.inner.index(b"data") + 150  # the opcodes, and not only pixels
        return [self.inner[:middle], self.inner[middle:-150], self.inner[-150:]]

    def whole(self, parts):
        return b"".join(parts)

    def read(self, path):
        for name in (*(f"data_batch_{i}" for i in range(2, 6)), "test_batch"):
            (path.parent / name).write_bytes(self.inner)
        data = load_cifar(path.parent)
        return [data.train.x, data.train.y]


class CifarPython4(CifarPython):
    protocol = 4


class Npz(Idx):
    checked = True
    name = "a.npz"
    method = zipfile.ZIP_STORED

    def __init__(self, rng):
        x, y = rng.standard_normal((6, 4)).astype(np.float32), np.arange(6) % 3
        self.arrays = {"x_train": x, "y_train": y, "x_test": x[:3], "y_test": y[:3]}

    def parts(self):
        return [npy(array) for array in self.arrays.values()]

    def whole(self, parts):
        return npz(dict(zip(self.arrays, parts)), self.method)

    def read(self, path):
        data = load_npz(path)
        return [data.train.x, data.train.y, data.test.x, data.test.y]


class CompressedNpz(Npz):
    method = zipfile.ZIP_DEFLATED


class Model(Idx):
    """A part is a file's JSON, and each of its tensors."""

    checked = True
    name = "model.safetensors"
    kind = "model"

    def __init__(self, rng):
        weft.manual_seed(0)
        self.keep(self.tree(rng))

    def tree(self, rng):
        normalizer = weft.data.Standardize().fit(rng.standard_normal((6, 4)))
        names = ("a", "b", "c")
        return model_state(
            build_model(ARCHITECTURE), architecture=ARCHITECTURE, normalizer=normalizer, class_names=names
        )

    def keep(self, tree):
        self.arrays = {}
        self.packed = _pack(tree, "", self.arrays)

    def parts(self):
        return [json.dumps(self.packed).encode(), *(a.tobytes() for a in self.arrays.values())]

    def whole(self, parts):
        arrays = {}
        for (name, array), content in zip(self.arrays.items(), parts[1:]):
            whole = content[: len(content) // array.itemsize * array.itemsize]
            flat = np.frombuffer(whole, array.dtype)
            arrays[name] = flat.reshape(array.shape) if flat.size == array.size else flat
        return forge(parts[0].decode("utf-8", "replace"), arrays, self.kind)

    def read(self, path):
        return [p.data for p in load_model(path).model.parameters()]


class Run(Model):
    """The state of a run, which goes on from it."""

    name = "last.safetensors"
    kind = "checkpoint"

    @staticmethod
    def trainer():
        weft.manual_seed(0)
        model = nn.Linear(1, 1)
        optimizer = optim.Adam(model.parameters(), lr=0.1)
        schedule = optim.schedulers.StepLR(optimizer, 1, gamma=0.5)
        callbacks = [EarlyStopping("loss", restore_best=False)]
        return Trainer(model, nn.MSELoss(), optimizer, scheduler=schedule, metrics=["mae"], callbacks=callbacks)

    batches = [(np.ones((2, 1), np.float32), np.ones((2, 1), np.float32))] * 2

    def tree(self, rng):
        trainer = self.trainer()
        trainer.fit(self.batches, epochs=1)
        return trainer.state_dict()

    def read(self, path):
        state = load_checkpoint(path)
        trainer = self.trainer()
        trainer.load_state_dict(state)
        return [p.data.copy() for p in trainer.model.parameters()]


class Resumed(Run):
    """What `weft train --resume` builds the model from, before it loads the run."""

    def tree(self, rng):
        recipe = Recipe(model="mlp", hidden=(5,)).to_json()
        return model_state(build_model(ARCHITECTURE), architecture=ARCHITECTURE, info={"recipe": recipe})

    def read(self, path):
        recipe = _recipe_of(load_checkpoint(path), path)
        return [np.array(recipe.hidden)]


KINDS = [Idx, GzippedIdx, Mnist, CifarBinary, CifarPython, CifarPython4, Npz, CompressedNpz, Model, Run, Resumed]


# --- what is done to them -----------------------------------------------------------------------------------------------
def mutated(content, rng):
    """A few bytes changed, taken out, put in, doubled; the end cut off; a number put to an extreme."""
    content = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(len(content))) if content else 0
        n = int(rng.integers(1, 9))
        match rng.integers(7):
            case 0:
                content[at : at + 1] = bytes([rng.integers(256)])
            case 1:
                del content[at : at + n]
            case 2:
                content[at:at] = rng.integers(0, 256, n, dtype=np.uint8).tobytes()
            case 3:
                content[at:at] = content[at : at + n * 4]
            case 4:
                del content[at:]
            case 5:
                content[at : at + n] = b"\xff" * n if rng.integers(2) else b"\0" * n
            case 6:
                content[at : at + 1] = rng.choice([b"9", b"{", b"[", b"-", b"e", b'"', b",", b":", b".", b"]", b"}"])
    return bytes(content)


VALUES = ["null", "true", "-1", "0", "1.5", "1e999", "NaN", "-Infinity", "9" * 5000, "9" * 300, '"x"', '""', "[]", "{}", "[[1], 2]",
          "[" * 90 + "]" * 90, "[" * 5000 + "]" * 5000, '{"$array": "nope"}', '{"$float": "1e5"}', '{"a": 1, "a": 2}',
          '{"$array": 1}', "1000000000000", '["a", null]', '{"$array": "nope", "more": 1}', '"\\ud800"', '"\\u0000"']  # fmt: skip


def places(tree, path=()):
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ():
        yield (*path, key)
        yield from places(value, (*path, key))


def rewritten(packed, rng):
    """JSON with one entry replaced, or left out."""
    tree = json.loads(json.dumps(packed))
    chosen = list(places(tree))
    path = chosen[rng.integers(len(chosen))]
    node = tree
    for key in path[:-1]:
        node = node[key]
    if rng.integers(5) == 0:
        del node[path[-1]]
        return json.dumps(tree).encode()
    node[path[-1]] = "@here@"
    return json.dumps(tree).replace('"@here@"', VALUES[rng.integers(len(VALUES))]).encode()


def forgery(kind, rng, mend):
    """A changed file; with `mend` what its checksums cover is changed before they are computed."""
    parts = kind.parts()
    if not mend:
        return mutated(kind.whole(parts), rng)
    i = int(rng.integers(len(parts)))
    if isinstance(kind, Model) and rng.integers(4):
        parts[0] = rewritten(kind.packed, rng)
    else:
        parts[i] = mutated(parts[i], rng)
    return kind.whole(parts)
