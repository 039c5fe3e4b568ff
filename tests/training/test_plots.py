"""The reading of bias and variance on histories with a known answer; the pictures: complete, and the same each time."""

import re
import struct
import sys
import zlib

import numpy as np
import pytest

from weft.training import bias_variance, plot_attention, plot_confusion, plot_history, plots


def history(n=12, *, gap=0.0, bias=0.0, rise=0.0, accuracy=True, validation=True):
    rows = []
    for e in range(n):
        loss = 2 * 0.6**e + bias
        row = {"epoch": e + 1, "loss": loss, "accuracy": 1 - loss / 4}
        row |= {"val_loss": loss + gap + rise * e, "val_accuracy": 1 - loss / 4 - gap / 4}
        rows.append({k: v for k, v in row.items() if (accuracy or "acc" not in k) and (validation or "val" not in k)})
    return rows


def read_png(path):
    """(width, height, pixels as bytes), after checking every checksum."""
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    position, data = 8, b""
    while position < len(content):
        length, kind = struct.unpack(">I4s", content[position : position + 8])
        body = content[position + 8 : position + 8 + length]
        assert (
            zlib.crc32(kind + body) == struct.unpack(">I", content[position + 8 + length : position + 12 + length])[0]
        )
        if kind == b"IHDR":
            width, height = struct.unpack(">II", body[:8])
        data += body if kind == b"IDAT" else b""
        position += 12 + length
    return width, height, zlib.decompress(data)


class TestBiasVariance:
    @pytest.mark.parametrize(
        ("options", "reading"),
        [
            ({}, r"a good fit: 99\.\d % training and 99\.\d % validation accuracy"),
            ({"gap": 0.4}, r"high variance: 99\.\d % training but 89\.\d % validation accuracy\. More data"),
            ({"bias": 0.8}, r"high bias: only 79\.\d % training accuracy\. A larger model"),
            ({"bias": 0.8, "gap": 2.0}, r"high variance: 79\.\d % training"),
            ({"rise": 0.05}, r"99\.\d % validation accuracy; the validation loss was lowest at epoch \d: stop there"),
            ({"accuracy": False}, r"losses agree \(0\.\d+ in training, 0\.\d+ in validation\): variance is low"),
            (
                {"accuracy": False, "gap": 0.4},
                r"high variance: the loss is 0\.\d+ in training but 0\.\d+ in validation",
            ),
            ({"accuracy": False, "rise": 0.1}, r"overfitting since epoch \d: the validation loss rose from"),
            ({"validation": False}, r"no validation data"),
            ({"bias": float("nan")}, r"diverged: the loss is not finite"),
            ({"n": 0}, r"no validation data"),
        ],
    )
    def test_reading(self, options, reading):
        assert re.match(reading, bias_variance(history(**options)))
        assert "\n" not in bias_variance(history(**options))

    def test_target(self):
        rows = history(bias=0.1)
        assert bias_variance(rows).startswith("a good fit")
        assert bias_variance(rows, target_accuracy=0.99).startswith("high bias")


class TestHistory:
    @pytest.mark.parametrize(
        "options", [{}, {"n": 1}, {"accuracy": False}, {"validation": False}, {"n": 2}, {"bias": float("nan")}]
    )
    def test_draws(self, tmp_path, options):
        plot_history(history(**options), tmp_path / "a.png", title="a title", test={"loss": 0.5, "accuracy": 0.9})
        width, height, pixels = read_png(tmp_path / "a.png")
        assert width > height > 300
        assert len(set(pixels)) > 20
        plot_history(history(**options), tmp_path / "b.png", title="a title", test={"loss": 0.5, "accuracy": 0.9})
        assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()

    def test_one_epoch_is_the_best(self, tmp_path, monkeypatch):
        """The lowest validation loss, also where accuracy is highest in another epoch."""
        figures = []
        monkeypatch.setattr(plots, "_write", lambda figure, path: figures.append(figure))
        rows = [
            {"epoch": e, "loss": 1 / e, "accuracy": e / 10, "val_loss": 1 + abs(e - 3), "val_accuracy": e / 10}
            for e in range(1, 7)
        ]
        plot_history(rows, tmp_path / "a.png")
        marked = [
            [(*line.get_xdata(), *line.get_ydata()) for line in axis.get_lines() if line.get_marker() == "o"]
            for axis in figures[0].axes
        ]
        assert marked == [[(3, 1)], [(3, pytest.approx(70))]]
        names = [text.get_text() for text in figures[0].axes[0].get_legend().get_texts()]
        assert names == ["training", "validation", "lowest validation loss"]

    def test_perfect_accuracy_on_a_log_scale(self, tmp_path):
        rows = [
            {"epoch": e, "loss": 1.0, "accuracy": 1 - 0.5 * (e < 3), "val_loss": 1.0, "val_accuracy": 1.0}
            for e in (1, 2, 3)
        ]
        plot_history(rows, tmp_path / "a.png")
        assert read_png(tmp_path / "a.png")

    def test_nothing(self, tmp_path):
        with pytest.raises(ValueError, match=r"`history` must have at least one epoch, got none"):
            plot_history([], tmp_path / "a.png")

    def test_leaves_matplotlib_as_it_was(self, tmp_path):
        import matplotlib

        before = dict(matplotlib.rcParams)
        plot_history(history(), tmp_path / "a.png")
        assert dict(matplotlib.rcParams) == before
        assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()

    def test_without_matplotlib(self, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        with pytest.raises(ImportError, match=r'needs matplotlib .*pip install "weft\[train\]"'):
            plot_history(history(), tmp_path / "a.png")


class TestConfusion:
    @pytest.mark.parametrize("classes", [2, 10, 30, 100])
    def test_draws(self, tmp_path, classes):
        plot_confusion(np.diag(np.arange(classes)), tmp_path / "a.png", title="t")
        assert read_png(tmp_path / "a.png")

    def test_errors(self, tmp_path):
        with pytest.raises(ValueError, match=r"\(C, C\) with a name for each class, got shape \(2, 3\) and 2 names"):
            plot_confusion(np.zeros((2, 3)), tmp_path / "a.png")
        with pytest.raises(ValueError, match=r"got shape \(2, 2\) and 1 names"):
            plot_confusion(np.zeros((2, 2)), tmp_path / "a.png", class_names=["a"])


class TestPlotAttention:
    def test_draws(self, tmp_path):
        words = ["it", "costs", "$5", "$", "<eos>"], ["ça", "coûte", "5", "<eos>"]
        weights = np.random.default_rng(0).dirichlet(np.ones(5), 4)
        sizes = []
        for n in (1, 2):
            for path in (tmp_path / "a.png", tmp_path / "b.png"):
                many = [w * n for w in words]
                plot_attention(np.tile(weights, (n, n)) / n, path, source=many[0], target=many[1], title="a · b")
            assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
            sizes.append(read_png(tmp_path / "a.png")[:2])
        assert sizes[0][0] < sizes[1][0]
        assert sizes[0][1] < sizes[1][1]

    def test_errors(self, tmp_path):
        with pytest.raises(
            ValueError, match=r"`weights` must be \(T, S\) with a word for each, got shape \(2, 1\), 1 and 2"
        ):
            plot_attention(np.ones((2, 1)), tmp_path / "a.png", source=["a", "b"], target=["c"])
