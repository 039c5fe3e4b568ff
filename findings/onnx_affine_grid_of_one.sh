#!/bin/sh
# AffineGrid with align_corners=1 where an axis has one element: onnxruntime 1.32.0 puts it at +1, the far corner, ONNX's own
# reference evaluator (onnx 1.23.2) at -1, dividing by zero on its way, and PyTorch 2.13.0, whose affine_grid the operator
# stands for, at 0, the middle. With two elements and more the three agree. GridSample then reads three different columns.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet onnxruntime==1.32.0 onnx==1.23.2 torch==2.13.0 numpy
"$folder/env/bin/python" - <<'PY'
import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

print("onnxruntime", onnxruntime.__version__, " onnx", onnx.__version__, " torch", torch.__version__)
identity = np.array([[[1, 0, 0], [0, 1, 0]]], np.float32)
node = helper.make_node("AffineGrid", ["theta", "size"], ["grid"], align_corners=1)
put = [helper.make_tensor_value_info("theta", TensorProto.FLOAT, [1, 2, 3]), helper.make_tensor_value_info("size", TensorProto.INT64, [4])]
out = helper.make_tensor_value_info("grid", TensorProto.FLOAT, [1, None, None, 2])
model = helper.make_model(helper.make_graph([node], "g", put, [out]), opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
onnx.checker.check_model(model, full_check=True)
session, reference = onnxruntime.InferenceSession(model.SerializeToString()), ReferenceEvaluator(model)

for height, width in ((1, 1), (3, 1), (1, 3), (2, 2), (3, 2)):
    size = np.array([1, 1, height, width], np.int64)
    fed = {"theta": identity, "size": size}
    with np.errstate(all="ignore"):
        grids = [session.run(None, fed)[0], reference.run(None, fed)[0], torch.nn.functional.affine_grid(torch.from_numpy(identity), size.tolist(), align_corners=True).numpy()]
    columns = [grid[0, 0, :, 0].tolist() for grid in grids]
    print(f"{height}x{width}: x of the columns by onnxruntime {columns[0]}, reference {columns[1]}, torch {columns[2]}")
    assert columns == ([[1.0], [-1.0], [0.0]] if width == 1 else [columns[2]] * 3), "this has changed"
PY
