"""The summary against numbers worked out by hand, and receptive fields from the literature."""

import harness  # noqa: F401  (registers the device "strict")
import pytest

import weft
from weft import layers as nn
from weft.layers import models
from weft.layers.summary import mult_adds


def rows(report, attribute):
    return [getattr(layer, attribute) for layer in report.layers]


class TestTextbookNetwork:
    @pytest.fixture
    def report(self):
        return nn.summary(models.cnn(), (3, 32, 32))

    def test_parameters(self, report):
        assert rows(report, "parameters") == [448, 0, 0, 4_640, 0, 0, 0, 262_272, 0, 1_290]
        assert report.total_parameters == report.trainable_parameters == 448 + 4_640 + 262_272 + 1_290 == 268_650
        assert report.parameter_memory == 4 * 268_650

    def test_shapes(self, report):
        assert rows(report, "output_shape") == [
            (16, 32, 32),
            (16, 32, 32),
            (16, 16, 16),
            (32, 16, 16),
            (32, 16, 16),
            (32, 8, 8),
            (2048,),
            (128,),
            (128,),
            (10,),
        ]
        assert rows(report, "input_shape") == [(3, 32, 32), *rows(report, "output_shape")[:-1]]
        assert rows(report, "kind")[:3] == ["Conv2d", "ReLU", "MaxPool2d"]
        assert rows(report, "name") == [str(i) for i in range(10)]

    def test_mult_adds(self, report):
        expected = [16 * 32 * 32 * 27, 0, 0, 32 * 16 * 16 * 144, 0, 0, 0, 2048 * 128, 0, 1280]
        assert rows(report, "mult_adds") == expected
        assert report.mult_adds == sum(expected)

    def test_receptive_fields(self, report):
        assert rows(report, "receptive_field") == [(n, n) for n in (3, 3, 4, 8, 8, 10, 10, 32, 32, 32)]

    def test_memory(self, report):
        expected = [65536, 65536, 16384, 32768, 32768, 8192, 0, 512, 512, 40]
        assert rows(report, "memory") == expected
        assert report.activation_memory == sum(expected)

    def test_table(self, report):
        text = str(report)
        assert repr(report) == text
        for shown in (
            "0 Conv2d",
            "16×32×32",
            "448",
            "4,640",
            "262,272",
            "1,290",
            "parameters: 268,650",
            "10×10",
            "64.0 KiB",
            "1.0 MiB",
        ):
            assert shown in text
        lines = text.split("\n")
        assert max(map(len, lines[:13])) == len(lines[1])


class TestOthers:
    def test_resnet18(self):
        """1.814 G multiply-adds at 224×224, receptive field 435 before the pooling: the numbers everybody quotes."""
        report = nn.summary(models.resnet18(), (3, 224, 224))
        assert report.total_parameters == sum(rows(report, "parameters")) == 11_689_512
        assert report.mult_adds == 1_814_073_344
        assert dict(zip(rows(report, "name"), rows(report, "receptive_field")))["layer4.1.conv2"] == (435, 435)
        assert report.layers[-1].receptive_field == (224, 224)

    def test_a_batch_axis_is_understood(self):
        assert str(nn.summary(models.cnn(), (1, 3, 32, 32))) == str(nn.summary(models.cnn(), (3, 32, 32)))
        assert rows(nn.summary(models.cnn(), (8, 3, 32, 32)), "mult_adds") == rows(
            nn.summary(models.cnn(), (3, 32, 32)), "mult_adds"
        )

    def test_the_models_own_error_is_shown(self):
        with pytest.raises(ValueError, match=r"must have 3 channels .*, got 4, in shape \(1, 4, 32, 32\)"):
            nn.summary(models.cnn(), (4, 32, 32))

    def test_vectors_have_no_receptive_field(self):
        report = nn.summary(models.mlp((784,), 10), (784,))
        assert set(rows(report, "receptive_field")) == {None}
        assert "–" in str(report)

    def test_sequences(self):
        net = nn.Sequential(
            nn.Conv1d(2, 4, 5, stride=2, dilation=3), nn.AvgPool1d(2), nn.AdaptiveAvgPool1d(4), nn.AdaptiveAvgPool1d(1)
        )
        report = nn.summary(net, (2, 77))
        assert rows(report, "output_shape") == [(4, 33), (4, 16), (4, 4), (4, 1)]
        assert rows(report, "receptive_field") == [(13,), (15,), (27,), (77,)]

    def test_branches(self):
        net = nn.Sequential(nn.Residual(nn.Conv2d(2, 2, 3, padding=1)), nn.Conv2d(2, 2, (1, 3)))
        assert rows(nn.summary(net, (2, 8, 8)), "receptive_field") == [(3, 3), (3, 5)]

    def test_transposed_and_bilinear(self):
        up = nn.summary(nn.ConvTranspose2d(4, 6, 3, stride=2), (4, 5, 5))
        assert up.mult_adds == 4 * 5 * 5 * 6 * 9
        assert mult_adds(nn.Bilinear(3, 4, 5), None, weft.ones((1, 5))) == 5 * (12 + 4)

    @pytest.mark.parametrize(
        ("layer", "expected"),
        [
            (nn.LSTM(6, 8, proj_size=5, batch_first=True), 32 * 6 + 32 * 5 + 5 * 8),
            (nn.GRU(6, 8, 2, bidirectional=True, batch_first=True), 2 * (24 * 6 + 24 * 8) + 2 * (24 * 16 + 24 * 8)),
            (nn.RNN(6, 8, batch_first=True), 8 * 6 + 8 * 8),
        ],
        ids=lambda v: type(v).__name__,
    )
    def test_recurrent(self, layer, expected):
        assert nn.summary(layer, (7, 6)).mult_adds == 7 * expected

    def test_embedding_and_tied_weights(self):
        embed, head = nn.Embedding(11, 4), nn.Linear(4, 11, bias=False)
        head.weight = embed.weight
        report = nn.summary(nn.Sequential(embed, head), (7,), dtype=weft.int64)
        assert rows(report, "output_shape") == [(7, 4), (7, 11)]
        assert rows(report, "parameters") == [44, 0]
        assert report.total_parameters == 44

    def test_parameters_of_modules_with_modules_inside(self):
        class Scaled(nn.Module):
            def __init__(self):
                self.scale = weft.Parameter([2.0])
                self.inner = nn.Linear(3, 3)

            def forward(self, x):
                return self.inner(x) * self.scale

        report = nn.summary(Scaled(), (3,))
        assert list(zip(rows(report, "kind"), rows(report, "parameters"))) == [("Linear", 12), ("Scaled", 1)]

    def test_frozen_parameters_are_counted_apart(self):
        net = nn.Sequential(nn.Linear(3, 4).requires_grad_(False), nn.Linear(4, 2))
        report = nn.summary(net, (3,))
        assert (report.total_parameters, report.trainable_parameters) == (26, 10)
        assert "parameters: 26 (16 of them not trained)" in str(report)

    def test_the_model_is_left_as_it_was(self):
        net = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout())
        net[1].eval()
        nn.summary(net, (3,))
        assert net.training
        assert not net[1].training
        assert net[0]._hooks is None
        assert net[0].num_batches_tracked.item() == 0

    def test_products_beside_the_layers(self):
        class Model(nn.Module):
            def __init__(self):
                self.inner = nn.Linear(4, 4, bias=False)

            def forward(self, x):
                return self.inner(x) @ weft.ones((4, 1000))

        report = nn.summary(Model(), (4,))
        assert list(zip(rows(report, "kind"), rows(report, "mult_adds"))) == [("Linear", 16), ("Model", 4000)]
        assert report.mult_adds == 4016
        assert rows(report, "memory") == [16, 4000]

    def test_several_inputs(self):
        report = nn.summary(nn.Transformer(8, 2, 1, 1, 16, batch_first=True), [(5, 8), (3, 8)])
        attention = {x.name: x.mult_adds for x in report.layers if x.kind == "MultiheadAttention"}
        per_token = {
            "encoder.layers.0.self_attn": 5 * 4 * 64 + 2 * 5 * 5 * 8,
            "decoder.layers.0.self_attn": 3 * 4 * 64 + 2 * 3 * 3 * 8,
            "decoder.layers.0.multihead_attn": 3 * 2 * 64 + 5 * 2 * 64 + 2 * 3 * 5 * 8,
        }
        assert attention == per_token
        assert report.layers[-1].output_shape == (3, 8)
        loss = nn.summary(nn.CrossEntropyLoss(), [(4,), ()], dtype=(None, weft.int64))
        assert rows(loss, "input_shape") == [(4,)]

    def test_parameters_of_layers_that_are_not_called(self):
        class Model(nn.Module):
            def __init__(self):
                self.used, self.unused = nn.Linear(2, 3), nn.Linear(4, 5)

            def forward(self, x):
                return self.used(x)

        report = nn.summary(Model(), (2,))
        assert list(zip(rows(report, "kind"), rows(report, "parameters"))) == [("Linear", 9), ("Model", 25)]

    def test_volumes(self):
        net = nn.Sequential(
            nn.Conv3d(2, 4, 3, padding=1),
            nn.AvgPool3d(2),
            nn.LPPool3d(2, 2),
            nn.FractionalMaxPool3d(2, 1),
            nn.Flatten(),
        )
        report = nn.summary(net, (2, 8, 8, 8))
        assert report.mult_adds == 4 * 512 * 2 * 27
        assert rows(report, "output_shape") == [(4, 8, 8, 8), (4, 4, 4, 4), (4, 2, 2, 2), (4, 1, 1, 1), (4,)]
        assert rows(report, "receptive_field")[:4] == [(n,) * 3 for n in (3, 4, 6, 10)]

    def test_wrong_shapes(self):
        with pytest.raises(ValueError, match=r"`dtype` must be one, or one for each of 2 inputs, got 3"):
            nn.summary(nn.Bilinear(2, 2, 2), [(2,), (2,)], dtype=[None] * 3)
        with pytest.raises(TypeError, match=r"`input_shape` must be an integer ≥ 0, got 'a'"):
            nn.summary(nn.Linear(2, 2), [(2,), "a"])

    def test_a_layer_of_ones_own(self):
        class Square(nn.Module):
            def forward(self, x):
                return x * x

        assert nn.summary(Square(), (3,)).mult_adds == 0
        mult_adds.register(Square, lambda module, input, output: output.size)
        assert nn.summary(Square(), (3,)).mult_adds == 3

    def test_runs_where_the_model_is(self):
        assert nn.summary(nn.Linear(3, 4, device="strict", dtype=weft.float64), (3,)).activation_memory == 32
