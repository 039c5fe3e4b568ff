"""What cannot be drawn is named, with what it must be."""

import re

import numpy as np
import pytest

from weft import layers as nn
from weft import training


@pytest.mark.parametrize(
    ("name", "arguments", "options", "message"),
    [
        ("plot_history", [3], {}, "`history` must be a sequence of dicts with an epoch each, as `Trainer.history`, got 3"),
        ("plot_history", [[{"loss": 1.0}]], {}, "`history` must be a sequence of dicts with an epoch each"),
        ("plot_confusion", ["ab"], {}, "`matrix` must be an array of numbers, got 'ab'"),
        ("plot_confusion", [[[1, -2], [3, 4]]], {}, "`matrix` must hold counts ≥ 0, got -2 … 4"),
        ("plot_confusion", [[[1, np.nan], [3, 4]]], {}, "`matrix` must hold counts ≥ 0, got nan … nan"),
        ("plot_layers", [3], {}, "`statistics` must be a LayerStatistics, got 3"),
        ("plot_filters", ["a"], {}, "`weight` must be an array of numbers, got 'a'"),
        ("plot_feature_maps", [3, np.ones((1, 8, 8))], {"layer": "0"}, "`model` must be a Module, got 3"),
        ("plot_feature_maps", [nn.Conv2d(1, 1, 3), "x"], {"layer": ""}, "`x` must be an array of numbers, got 'x'"),
        ("plot_lr_find", [3], {}, "`found` must be a LRFinderResult, got 3"),
        ("plot_landscape", [3], {}, "`landscape` must be a LossLandscape, got 3"),
        ("plot_learning_curve", ["ab", [1, 2], [3, 4]], {}, "`sizes` must be an array of numbers, got 'ab'"),
        ("plot_learning_curve", [3, [1, 2], [3, 4]], {}, "must have one length S ≥ 2, got 1, 2 and 2"),
        ("plot_learning_curve", [[1, 2], [1, np.nan], [3, 4]], {}, "`training` must hold finite errors (S,) or (S, folds)"),
        ("plot_calibration", ["a", "b"], {}, "`probabilities` must be an array of numbers, got 'a'"),
        ("plot_parity", ["a", [1.0]], {}, "`true` must be an array of numbers, got 'a'"),
    ],
)  # fmt: skip
def test_names_what_was_wrong(name, arguments, options, message, tmp_path):
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        getattr(training, name)(*arguments, tmp_path / "a.png", **options)
    assert not list(tmp_path.iterdir())
