#!/bin/sh
# Softplus is two functions in onnxruntime 1.32.0. As an operator it is log(1 + e^x) computed without overflow: 100 gives 100. As the
# activation of RNN, GRU or LSTM the same name overflows: from 89 on the hidden state is infinite, in a model that the checker
# finds valid. So a recurrent layer and its steps written out as operators are alike until a gate's sum passes 88.7.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet onnxruntime==1.32.0 onnx==1.23.2 numpy
"$folder/env/bin/python" - <<'PY'
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

print("onnxruntime", onnxruntime.__version__, " onnx", onnx.__version__)


def session(nodes, inputs, output):
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()]
    graph = helper.make_graph(nodes, "g", inputs, [helper.make_tensor_value_info(*output)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


one = np.ones((1, 1, 1), np.float32)
operator = session([helper.make_node("Softplus", ["X"], ["Y"])], {"X": (1, 1, 1)}, ("Y", TensorProto.FLOAT, (1, 1, 1)))
layers = {
    "RNN": (1, ["Softplus"], lambda a: a),  # h = softplus(w x)
    "GRU": (3, ["Sigmoid", "Softplus"], lambda a: 0.5 * a),  # z = sigmoid(0): h = (1 - z) softplus(w x)
    "LSTM": (4, ["Sigmoid", "Softplus", "Softplus"], lambda a: 0.5 * np.logaddexp(0, 0.5 * a)),  # i = o = sigmoid(0)
}
for kind, (gates, activations, outcome) in layers.items():
    node = helper.make_node(kind, ["X", "W", "R"], ["Y"], hidden_size=1, activations=activations)
    shapes = {"X": (1, 1, 1), "W": (1, gates, 1), "R": (1, gates, 1)}
    run = session([node], shapes, ("Y", TensorProto.FLOAT, (1, 1, 1, 1)))
    weights = np.zeros((1, gates, 1), np.float32)
    weights[0, {"RNN": 0, "GRU": 2, "LSTM": 3}[kind]] = 1  # of the candidate alone
    for x in (1.0, 50.0, 88.0, 89.0, 100.0):
        given = {"X": one * np.float32(x), "W": weights, "R": np.zeros_like(weights)}
        y = run.run(None, given)[0].item()
        alone = operator.run(None, {"X": given["X"]})[0].item()
        exact = outcome(np.logaddexp(0, x))
        print(f"{kind:4} of {x:5}: {y:10.4f}   expected {exact:10.4f}   the operator Softplus {alone:10.4f}")
        assert abs(alone - np.logaddexp(0, x)) < 1e-4
        assert np.isinf(y) if x > 88.5 else abs(y - exact) < 1e-3, "this has changed"
PY
