"""Export of what decides by the batch, of running products, and of a softmax in steps: against onnxruntime at another size."""

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft.compat.onnx.exporting import ExportError, export

pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")
F = nn.functional
RNG = np.random.default_rng(0)
PICTURES = RNG.standard_normal((2, 3, 4, 6)).astype(np.float32)


class Written(nn.Module):
    """What a function does, with the layers that it needs."""

    def __init__(self, f, *layers):
        super().__init__()
        self.layers, self.f = nn.ModuleList(layers), f

    def forward(self, *inputs):
        return self.f(*inputs, *self.layers)


def agree(model, at, then, path, **options) -> None:
    """Written at the inputs `at`, with a dynamic first axis, and run at `then`."""
    names = [f"input_{i}" for i in range(len(at))]
    axes = {name: {0: "batch"} for name in names}
    export(model, tuple(map(weft.asarray, at)), path, dynamic_axes=axes, **options)
    got = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, dict(zip(names, then)))
    with weft.no_grad():
        wanted = model.eval()(*map(weft.asarray, then))
    for a, b in zip(got, wanted if isinstance(wanted, tuple) else (wanted,), strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        np.testing.assert_allclose(a, b.numpy(), rtol=1e-5, atol=1e-6)


MODELS = {
    "the batch's own moments": lambda: nn.BatchNorm2d(3, track_running_stats=False),
    "moments that are kept": lambda: Written(
        lambda x: F.batch_norm(x, weft.zeros(3), weft.ones(3), weft.asarray([1.0, 2.0, -1.0]), training=True)
    ),
    "products so far": lambda: Written(lambda x: weft.cumulative_prod(x, axis=2)),
    "products so far, the first of none": lambda: Written(
        lambda x: (weft.cumulative_prod(x, axis=0, include_initial=True), weft.cumulative_sum(x, axis=-1, include_initial=True))
    ),
}  # fmt: skip


def test_what_is_detached_is_the_same_value(tmp_path) -> None:
    rounded = Written(lambda x: x + (weft.round(x) - x).detach() * 0.5)
    agree(rounded, [PICTURES], [PICTURES[:1] * 3], tmp_path / "m.onnx")


@pytest.mark.parametrize("name", MODELS)
def test_of_pictures(name: str, tmp_path) -> None:
    more = RNG.standard_normal((5, 3, 4, 6)).astype(np.float32)
    agree(MODELS[name](), [PICTURES], [more], tmp_path / "m.onnx")


def test_maxima_go_back_to_their_places_which_may_come_twice(tmp_path) -> None:
    unpool = Written(lambda x, places: F.max_unpool2d(x, places, 2, output_size=(4, 6)))
    places = [np.tile(np.arange(6).reshape(1, 1, 2, 3) * 2, (n, 3, 1, 1)) for n in (2, 5)]
    values = [RNG.standard_normal(p.shape).astype(np.float32) for p in places]
    places[1][..., 1], values[1][..., 1] = places[1][..., 0], values[1][..., 0]
    agree(unpool, [values[0], places[0]], [values[1], places[1]], tmp_path / "m.onnx")


def test_a_softmax_in_steps_needs_no_look_at_the_classes(tmp_path) -> None:
    weft.manual_seed(0)
    layer = nn.AdaptiveLogSoftmaxWithLoss(6, 12, cutoffs=[3, 7])
    first, second = (RNG.standard_normal((n, 6)).astype(np.float32) for n in (2, 5))
    agree(layer, [first, np.array([0, 1])], [second, np.array([11, 3, 2, 7, 6])], tmp_path / "m.onnx")
    predicted = Written(lambda x, layer: layer.predict(x), layer)
    agree(predicted, [first], [5 * second], tmp_path / "n.onnx")


def test_products_need_a_version_that_has_them(tmp_path) -> None:
    with pytest.raises(ExportError, match="`cumulative_prod` needs opset 26 at least, got 25"):
        export(MODELS["products so far"](), weft.asarray(PICTURES), tmp_path / "m.onnx", opset=25)


def test_lengths_that_two_sizes_share_by_halves_are_seen_to_move(tmp_path) -> None:
    halves = Written(lambda x: x[::2].sum() / x[::2].shape[0])  # of 5 and of 6 rows: 3
    with pytest.raises(ExportError, match=r"needs numbers that no dynamic axis changes, got .*3.* and then .*4"):
        export(halves, weft.ones((5, 2)), tmp_path / "m.onnx", dynamic_axes={"input_0": {0: "batch"}})


NOTHING = {
    "any and all of none": lambda x: (weft.any(x > 0, axis=0), weft.all(x > 0, axis=0)),
    "written to no place": lambda x: F.pad(x.swapaxes(0, 1), (1, 0)),
    "nothing but detached": lambda x: (x + 1).detach(),
    "scattered": lambda x: weft.ones((2, 3)).scatter(1, weft.asarray([[2], [0]]), x.sum() + weft.zeros((2, 1))),
}


@pytest.mark.parametrize("name", NOTHING)
def test_of_no_rows(name: str, tmp_path) -> None:
    x = np.zeros((0, 3), np.float32)
    model = Written(NOTHING[name])
    export(model, weft.asarray(x), tmp_path / "m.onnx")
    got = runtime.InferenceSession(str(tmp_path / "m.onnx"), providers=["CPUExecutionProvider"]).run(
        None, {"input_0": x}
    )
    wanted = model(weft.asarray(x))
    for a, b in zip(got, wanted if isinstance(wanted, tuple) else (wanted,), strict=True):
        np.testing.assert_array_equal(a, b.numpy(), strict=True)
