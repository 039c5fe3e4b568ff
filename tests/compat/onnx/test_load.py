"""Graphs become modules: the node cases of the onnx package, training, and what is refused."""

import json
import re
import warnings
from pathlib import Path

import numpy as np
import pytest

import weft
from weft.compat.onnx import load
from weft.compat.onnx.load import OUT_OF_REACH

onnx = pytest.importorskip("onnx")
HEAD = '<ir_version: 8, opset_import: ["" : 17]> '

PASSED = Path(__file__).with_name("node_cases.json")  # node cases that hold, by their first operator


def of_type(kind, data):
    """A value of a type of ONNX, from a file."""
    helper, name = onnx.numpy_helper, kind.WhichOneof("value")
    if name == "sequence_type":
        return helper.to_list(onnx.SequenceProto.FromString(data))
    if name == "optional_type":
        return helper.to_optional(onnx.OptionalProto.FromString(data))
    return helper.to_array(onnx.TensorProto.FromString(data))


def read(folder, graph):
    weights = {x.name for x in graph.initializer}
    inputs = [v for v in graph.input if v.name not in weights]
    for data in sorted(Path(folder).glob("test_data_set_*")):
        yield tuple(
            [of_type(v.type, (data / f"{kind}_{i}.pb").read_bytes()) for i, v in enumerate(values)]
            for kind, values in (("input", inputs), ("output", graph.output))
        )


def as_array(x):
    return onnx.numpy_helper.to_array(x) if isinstance(x, onnx.TensorProto) else x


def flat(values):
    """The arrays in values, lists of them, and none."""
    return [x for v in values for x in (flat(v) if isinstance(v, list) else [] if v is None else [as_array(v)])]


def check(case, model) -> None:
    module = load(model)
    for inputs, wanted in case.data_sets or read(case.model_dir, model.graph):
        got = module(*map(as_array, inputs))
        got, wanted = flat(got if isinstance(got, tuple) else (got,)), flat(wanted)
        for g, w in zip(got, wanted, strict=True):
            g = g.detach().numpy()
            assert (g.dtype, g.shape) == (w.dtype, w.shape), case.name
            if RANDOM.match(case.name):
                continue
            is_half = g.dtype.itemsize == 2 and g.dtype.kind not in "iu"
            exact = g.dtype.kind in "biu"
            g, w = (a if exact or a.dtype.kind == "c" else a.astype(np.float64) for a in (g, w))
            np.testing.assert_allclose(
                g, w, case.rtol if not is_half else 2e-2, 1e-2 if is_half else 1e-6, err_msg=case.name
            )


def passed() -> tuple[dict[str, int], dict[str, int]]:
    """Runs the cases of operators, and those that PyTorch has exported: how many hold and how many are refused by name."""
    from onnx.backend.test.loader import load_model_tests

    found, refused = ({}, {})  # type: tuple[dict[str, int], dict[str, int]]
    with warnings.catch_warnings():  # making the cases casts out of range
        warnings.simplefilter("ignore")
        cases = [
            c
            for kind in ("node", "pytorch-converted", "pytorch-operator", "simple")
            for c in load_model_tests(kind=kind)
        ]
    for case in cases:
        model = case.model if case.model is not None else onnx.load(f"{case.model_dir}/model.onnx")
        try:
            with warnings.catch_warnings():  # −∞ and zeros are among the numbers
                warnings.simplefilter("ignore", RuntimeWarning)
                check(case, model)
        except NotImplementedError as error:
            name = re.match(r"operator (\w+)|inputs and outputs must be .* got dtype (STRING)", str(error))
            if name is None:
                raise
            refused[name[1] or name[2]] = refused.get(name[1] or name[2], 0) + 1
        else:
            operator = model.graph.node[0].op_type
            found[operator] = found.get(operator, 0) + 1
    return found, refused


RANDOM = re.compile("test_bernoulli|test_training_dropout_(default|mask|default_mask)$|test_training_dropout$")
CLASSICAL = ("ArrayFeatureExtractor", "Binarizer", "LabelEncoder", "TreeEnsemble")  # of the domain ai.onnx.ml


def test_node_cases() -> None:
    """Those of the onnx package: right to its tolerance, or refused with a clear error; what passed once goes on to pass."""
    (found, refused), wanted = passed(), json.loads(PASSED.read_text())
    assert {name: found.get(name, 0) for name in wanted if found.get(name, 0) < wanted[name]} == {}
    assert set(refused) <= {"STRING", *CLASSICAL, *" ".join(OUT_OF_REACH.values()).split()}


def test_a_loaded_perceptron_trains() -> None:
    graph = "g (float[N, 3] x) => (float[N, 1] y) { h = Gemm<transB = 1>(x, W) t = Tanh(h) y = MatMul(t, V) }"
    model = onnx.parser.parse_model(HEAD + graph)
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(4, 3)).astype(np.float32), rng.normal(size=(4, 1)).astype(np.float32)
    for name, value in (("W", first), ("V", second)):
        model.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    module = load(model)
    assert list(module.state_dict()) == ["W", "V"]
    x = rng.normal(size=(5, 3)).astype(np.float32)
    np.testing.assert_allclose(module(x=x).detach().numpy(), np.tanh(x @ first.T) @ second, rtol=1e-5, atol=1e-6)
    optimizer = weft.optimizers.SGD(module.parameters(), lr=0.05)
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        loss = (module(x) ** 2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_what_is_refused(tmp_path) -> None:
    model = onnx.parser.parse_model(HEAD + "g (float[2] x) => (float[2] y) { y = Relu(x) }")
    with pytest.raises(TypeError, match="must be called with the inputs"):
        load(model)(z=np.ones(2, np.float32))
    (tmp_path / "bad.onnx").write_bytes(b"\xff\xfenot a model")
    with pytest.raises(ValueError, match="must be an ONNX model"):
        load(tmp_path / "bad.onnx")


def test_names_with_dots_are_kept_and_taken_names_refused() -> None:
    for name, right in (("a.b", True), ("inputs", True), ("forward", False), ("_graph", False)):
        model = onnx.parser.parse_model(HEAD + "g (float[2] x) => (float[2] y) { y = Add(x, W) }")
        model.graph.node[0].input[1] = name
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones(2, np.float32), name))
        if right:
            assert list(load(model).state_dict()) == [name]
        else:
            with pytest.raises(ValueError, match="must be free in a Module"):
                load(model)


LOOP = """<ir_version: 8, opset_import: ["" : 17]> g (float[2] x, int64 n) => (float[2] y, float[K, 2] each) {
  y, each = Loop (n, , x) <body = b (int64 i, bool go, float[2] h) => (bool on, float[2] next, float[2] kept) {
    on = Identity (go)  next = Mul (h, W)  kept = Identity (next) }> }"""
BRANCH = """<ir_version: 8, opset_import: ["" : 17]> g (float[2] x, bool c) => (float[2] y) {
  y = If (c) <then_branch = t () => (float[2] a) { a = Mul (x, W) }, else_branch = e () => (float[2] b) { b = Neg (x) }> }"""


def with_weight(text: str) -> weft.layers.Module:
    model = onnx.parser.parse_model(text)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([2.0, 3.0], np.float32), "W"))
    return load(model)


def test_loops_and_branches_train() -> None:
    x = np.array([1.0, -1.0], np.float32)
    module = with_weight(LOOP)
    y, each = module(x, np.asarray(3))
    assert (y.tolist(), each.tolist()) == ([8, -27], [[2, -3], [4, -9], [8, -27]])
    y.sum().backward()
    assert module.W.grad.tolist() == [12, -27]
    y, none = module(x, np.asarray(0))
    assert (y.tolist(), none.shape, none.dtype) == ([1, -1], (0, 2), np.float32)
    unknown = with_weight(LOOP.replace("float[2] kept", "float[K] kept"))
    with pytest.raises(NotImplementedError, match="a Loop must run at least once where it collects"):
        unknown(x, np.asarray(0))
    module = with_weight(BRANCH)
    assert module(x, np.asarray(False)).tolist() == [-1, 1]
    module(x, np.asarray(True)).sum().backward()
    assert module.W.grad.tolist() == [1, -1]


def test_what_is_within_a_branch_is_refused_too() -> None:
    with pytest.raises(
        NotImplementedError, match=r"operator StringConcat .*is not covered, text is no array of numbers"
    ):
        load(onnx.parser.parse_model(BRANCH.replace("b = Neg (x)", "b = StringConcat (x, x)")))


def test_transforms_train() -> None:
    """DFT, which is a product with cosines and sines, against NumPy, and its gradient: that of Σ |X|² is 2 T x."""
    text = '<ir_version: 8, opset_import: ["" : 20]> g (float[1, 6, 1] x) => (float[1, 6, 2] y) { y = DFT (x) }'
    x = weft.asarray(np.random.default_rng(0).normal(size=(1, 6, 1)).astype(np.float32)).requires_grad_()
    y = load(onnx.parser.parse_model(text))(x)
    expected = np.fft.fft(x.detach().numpy()[0, :, 0])
    np.testing.assert_allclose(
        y.detach().numpy()[0], np.stack([expected.real, expected.imag], -1), rtol=1e-5, atol=1e-5
    )
    (y**2).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 12 * x.detach().numpy(), rtol=1e-5, atol=1e-5)


if __name__ == "__main__":  # after operators were added
    PASSED.write_text(json.dumps(dict(sorted(passed()[0].items())), indent=0) + "\n")


class TestDamaged:
    """A file whose parts do not fit says so when it is read, by the name of what is missing."""

    @staticmethod
    def model(**changed):
        text = '<ir_version: 8, opset_import: ["" : 17]> g (float[2] x) => (float[2] y) { t = Relu(x) y = Exp(t) }'
        found = onnx.parser.parse_model(text)
        for node, name in changed.items():
            found.graph.node[int(node[1:])].input[0] = name
        return found

    def test_a_name_that_nothing_makes(self):
        with pytest.raises(
            ValueError, match='Exp \\(node ""\\) must take what was made before it, got `tt`, which nothing makes'
        ):
            load(self.model(n1="tt"))
        with pytest.raises(ValueError, match='Relu \\(node ""\\) must take what was made before it, got `t`'):
            load(self.model(n0="t"))
        broken = self.model()
        broken.graph.node[1].output[0] = "z"
        with pytest.raises(ValueError, match="output `y` must be made by a node"):
            load(broken)

    def test_no_outputs(self, tmp_path):
        (tmp_path / "empty.onnx").write_bytes(b"")
        with pytest.raises(ValueError, match="must have outputs, got none"):
            load(tmp_path / "empty.onnx")

    def test_names_that_are_no_text(self, tmp_path):
        raw = self.model().SerializeToString()
        for word in (b"Relu", b"x"):
            (tmp_path / "bad.onnx").write_bytes(raw.replace(word, b"\xff" * len(word)))
            with pytest.raises(ValueError, match=r"must have names that are text, got b'|must be an ONNX model"):
                load(tmp_path / "bad.onnx")

    def test_within_a_branch(self):
        text = """<ir_version: 8, opset_import: ["" : 17]> g (bool c, float[2] x) => (float[2] y) {
            t = Relu(x) y = If(c) <then_branch = a () => (float[2] p) { p = Exp(t) },
                            else_branch = b () => (float[2] q) { q = Neg(NAME) }> }"""
        assert load(onnx.parser.parse_model(text.replace("NAME", "t")))(
            np.asarray(False), np.ones(2, np.float32)
        ).tolist() == [-1, -1]
        with pytest.raises(ValueError, match=r"Neg .* got `p`, which nothing makes"):
            load(onnx.parser.parse_model(text.replace("NAME", "p")))
