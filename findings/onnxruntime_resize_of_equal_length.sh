#!/bin/sh
# Resizing by factors where a length stays as it was (3 elements times 1.2 are 3.6, cut to 3) follows three rules, without a
# word. onnxruntime 1.32.0 gives its input back as it is, in every mode, but only if no axis at all changes its length: the
# same model jumps from one rule to the other with the size of the image. torch 2.13.0 leaves such an axis alone by itself,
# in the linear modes, and moves the values in the bicubic one. ONNX's reference evaluator moves them always.
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
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

print("onnxruntime", onnxruntime.__version__, " onnx", onnx.__version__, " torch", torch.__version__)


def resized(x, mode, factors):
    """By onnxruntime, the reference and PyTorch: half-pixel coordinates, the factors as they are given."""
    node = helper.make_node("Resize", ["x", "", "s"], ["y"], mode=mode, coordinate_transformation_mode="half_pixel")
    put = helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    scales = numpy_helper.from_array(np.array([1, 1, *factors], np.float32), "s")
    graph = helper.make_graph([node], "g", [put], [out], [scales])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10)
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    peer = torch.nn.functional.interpolate(torch.from_numpy(x), scale_factor=tuple(factors), mode=f"bi{mode}", align_corners=False)
    return [session.run(None, {"x": x})[0], ReferenceEvaluator(model).run(None, {"x": x})[0], peer.numpy()]


expected = {  # whether the values move along the axis whose length stays: by onnxruntime, the reference, PyTorch
    ("linear", 3): (False, True, False),
    ("linear", 4): (True, True, False),
    ("cubic", 3): (False, True, True),
    ("cubic", 4): (True, True, True),
}
for (mode, height), moves in expected.items():
    row = np.arange(3, dtype=np.float32) ** 2  # every row is the same: only the axis whose length stays has anything to move
    x = np.broadcast_to(row, (1, 1, height, 3)).copy()
    outs = [y[0, 0, 0] for y in resized(x, mode, [1.3, 1.2])]
    print(f"{mode}, {height}x3 by 1.3x1.2, first row {row}:", *(f"{name} {y.round(3)}" for name, y in zip(("onnxruntime", "reference", "torch"), outs)))
    assert tuple(bool(np.abs(y - row).max() > 0.05) for y in outs) == moves, "this has changed"
PY
