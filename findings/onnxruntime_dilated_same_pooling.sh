#!/bin/sh
# onnxruntime 1.32.0, CPU: MaxPool, AveragePool and LpPool with auto_pad=SAME_UPPER or SAME_LOWER pad as if dilations were 1,
# so the output is smaller than ceil(length / stride), and than the shape that the session itself announces. No error is
# raised, the log has a line. The operator's text counts dilations in the padding; Conv with the same attributes is refused by name.
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
x = np.arange(24, dtype=np.float32).reshape(1, 1, 2, 12)


def pool(operator, dilation, **padding):
    """The announced length of a row, and the row, for windows of 3 at every place."""
    node = helper.make_node(operator, ["x"], ["y"], kernel_shape=[1, 3], strides=[1, 1], dilations=[1, dilation], **padding)
    put = helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    model = onnx.shape_inference.infer_shapes(helper.make_model(helper.make_graph([node], "g", [put], [out]), opset_imports=[helper.make_opsetid("", 22)], ir_version=10), strict_mode=True)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.get_outputs()[0].shape[3], session.run(None, {"x": x})[0][0, 0, 0]


for operator in ("MaxPool", "AveragePool", "LpPool"):
    for same in ("SAME_UPPER", "SAME_LOWER"):
        for dilation in (1, 2, 3):
            announced, got = pool(operator, dilation, auto_pad=same)
            one = pool(operator, dilation, pads=[0, 1, 0, 1])[1]  # what dilation 1 would need
            print(f"{operator} {same} dilation {dilation}: announced {announced}, onnxruntime {len(got)}")
            assert announced == 12
            assert len(got) == 12 - 2 * (dilation - 1) and np.array_equal(got, one), "this has changed"
PY
