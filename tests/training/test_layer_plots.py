"""The pictures of layers show the numbers they are about, with labels."""

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft.training import LayerRecord, LayerStatistics, pictures, plot_feature_maps, plot_filters, plot_layers


@pytest.fixture
def figures(monkeypatch):
    drawn = []
    monkeypatch.setattr(pictures, "_write", lambda figure, path: drawn.append(figure))
    return drawn


def images(figure):
    return [np.asarray(image.get_array()) for box in figure.axes[0].child_axes for image in box.get_images()]


class TestLayers:
    def test_draws(self, figures):
        statistics = LayerStatistics()
        statistics.names = ["0 Linear", "1 ReLU", "2 Linear"]
        statistics.steps = list(range(0, 90, 10))
        weightless = float("nan")
        statistics.records = [
            [
                LayerRecord(0, k, 0, 0.1 * k, 1),
                LayerRecord(0, 1, 0.5, weightless, weightless),
                LayerRecord(0, 2, 0, 1, 1),
            ]
            for k in range(9)
        ]
        plot_layers(statistics, "a.png", title="t")
        outputs, dead, gradients = figures[0].axes
        assert len(outputs.get_lines()) == 5
        assert outputs.get_lines()[-1].get_ydata().tolist() == [8, 1, 2]
        assert dead.get_lines()[0].get_ydata().tolist() == [50]
        np.testing.assert_allclose(gradients.get_lines()[0].get_ydata(), [np.nan, 1])
        np.testing.assert_allclose(gradients.get_lines()[-1].get_ydata(), [0.8, 1])
        assert gradients.get_yscale() == "log"
        assert [text.get_text() for text in gradients.get_xticklabels()] == ["0 Linear", "2 Linear"]
        assert [text.get_text() for text in outputs.get_legend().get_texts()] == ["0", "20", "40", "60", "80"]

    def test_nothing(self):
        with pytest.raises(ValueError, match=r"`statistics` must have at least one record, got none"):
            plot_layers(LayerStatistics(), "a.png")


class TestFilters:
    def test_one_scale_around_0(self, figures):
        layer = nn.Conv2d(2, 3, 3)
        plot_filters(layer, "a.png")
        expected = layer.weight.detach().numpy().reshape(6, 3, 3)
        np.testing.assert_array_equal(images(figures[0]), expected)
        image = figures[0].axes[0].child_axes[0].get_images()[0]
        bound = float(np.abs(expected).max())
        assert image.get_clim() == pytest.approx((-bound, bound))
        assert figures[0].axes[1].get_ylabel() == "weight"

    def test_colours(self, figures):
        weight = np.random.default_rng(0).standard_normal((4, 3, 5, 6))
        plot_filters(weight, "a.png")
        shown = np.array(images(figures[0]))
        assert shown.shape == (4, 5, 6, 3)
        assert shown.min(axis=(1, 2, 3)).tolist() == [0] * 4
        assert shown.max(axis=(1, 2, 3)).tolist() == [1] * 4

    def test_limit(self, figures):
        plot_filters(np.ones((40, 2, 3, 3)), "a.png", limit=7, title="t")
        assert len(images(figures[0])) == 7
        assert figures[0].get_suptitle() == "t (the first 7 of 80)"

    def test_errors(self):
        with pytest.raises(
            ValueError, match=r"`weight` must be \(O, C, H, W\), as that of a Conv2d, got shape \(3, 2\)"
        ):
            plot_filters(nn.Linear(2, 3), "a.png")
        with pytest.raises(ValueError, match=r"`limit` must be an integer ≥ 1, got 0"):
            plot_filters(np.ones((4, 1, 3, 3)), "a.png", limit=0)


class TestFeatureMaps:
    def model(self):
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2))

    @pytest.mark.parametrize("layer", ["0", "2"])
    @pytest.mark.parametrize("lead", [(), (1,)])
    def test_shows_what_the_layer_gives(self, figures, layer, lead):
        model = self.model()
        model[3].eval()
        x = np.random.default_rng(0).standard_normal((*lead, 1, 6, 6)).astype("float32")
        plot_feature_maps(model, x, "a.png", layer=layer)
        modes = [m.training for m in model]
        assert modes == [True, True, True, False, True]
        assert model[1].num_batches_tracked.item() == 0
        expected = nn.Sequential(*list(model)[: int(layer) + 1]).eval()(weft.asarray(x.reshape(1, 1, 6, 6)))
        np.testing.assert_allclose(images(figures[0]), expected.detach().numpy()[0], rtol=1e-6)
        assert model[int(layer)]._hooks is None

    def test_errors(self):
        x = weft.ones((1, 6, 6))
        with pytest.raises(ValueError, match=r"`layer` must be one of the model's, '0', '1', .*, got '9'"):
            plot_feature_maps(self.model(), x, "a.png", layer="9")
        with pytest.raises(ValueError, match=r"output of `layer` '4' must be \(1, C, H, W\), got shape \(1, 2\)"):
            plot_feature_maps(self.model(), x, "a.png", layer="4")
