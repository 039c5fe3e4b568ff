"""Reference: scikit-learn's metrics, on the whole data at once; ours see it in batches."""

import json
import warnings

import array_api_strict
import numpy as np
import pytest
from sklearn import metrics as sk

import weft
from weft.training import metrics as M

C, N = 5, 203


@pytest.fixture
def classified(rng):
    scores = rng.standard_normal((N, C)).astype(np.float32)
    target = rng.integers(0, C, N)
    return scores, target


def in_batches(metric, output, target, size=32, wrap=lambda a: a):
    for i in range(0, len(target), size):
        metric.update(wrap(output[i : i + size]), wrap(target[i : i + size]))
    return metric.compute()


WRAPS = {"numpy": lambda a: a, "tensor": weft.asarray, "strict": array_api_strict.asarray, "list": lambda a: a.tolist()}


@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
class TestClassification:
    def test_accuracy(self, classified, wrap):
        scores, target = classified
        assert in_batches(M.Accuracy(), scores, target, wrap=wrap) == sk.accuracy_score(target, scores.argmax(1))

    @pytest.mark.parametrize("k", [1, 2, 5])
    def test_top_k(self, classified, wrap, k):
        scores, target = classified
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # k = C is always right, says scikit-learn
            expected = sk.top_k_accuracy_score(target, scores, k=k)
        assert in_batches(M.TopKAccuracy(k), scores, target, wrap=wrap) == pytest.approx(expected, abs=1e-12)

    @pytest.mark.parametrize("average", ["macro", "micro", "weighted", None])
    @pytest.mark.parametrize(
        ("ours", "theirs"), [(M.Precision, sk.precision_score), (M.Recall, sk.recall_score), (M.F1, sk.f1_score)]
    )
    def test_ratios(self, classified, wrap, average, ours, theirs):
        scores, target = classified
        expected = theirs(target, scores.argmax(1), average=average, zero_division=0)
        np.testing.assert_allclose(in_batches(ours(average=average), scores, target, wrap=wrap), expected, rtol=1e-12)

    def test_confusion_matrix(self, classified, wrap):
        scores, target = classified
        got = in_batches(M.ConfusionMatrix(), scores, target, wrap=wrap)
        np.testing.assert_array_equal(got, sk.confusion_matrix(target, scores.argmax(1)))
        assert got.dtype == np.int64

    def test_regression(self, rng, wrap):
        target = 1e4 + rng.standard_normal((N, 3))
        output = target + 0.1 * rng.standard_normal((N, 3))
        for ours, theirs in [(M.MSE, sk.mean_squared_error), (M.MAE, sk.mean_absolute_error), (M.R2, sk.r2_score)]:
            assert in_batches(ours(), output, target, wrap=wrap) == pytest.approx(theirs(target, output), rel=1e-9)
        one = in_batches(M.RMSE(), output[:, 0], target[:, 0], wrap=wrap)
        assert one == pytest.approx(sk.root_mean_squared_error(target[:, 0], output[:, 0]), rel=1e-9)

    def test_perplexity(self, classified, wrap):
        scores, target = classified
        shifted = np.exp(scores.astype(np.float64))
        expected = np.exp(sk.log_loss(target, shifted / shifted.sum(1, keepdims=True)))
        assert in_batches(M.Perplexity(), scores, target, wrap=wrap) == pytest.approx(expected, rel=1e-6)


class TestShapes:
    def test_positions_and_ignored(self, rng):
        """Scores (N, C, T): one class for each position."""
        scores, target = rng.standard_normal((4, C, 7)), rng.integers(0, C, (4, 7))
        target[0, :3] = -100
        kept = target != -100
        predicted = scores.argmax(1)
        assert M.accuracy(scores, target, ignore_index=-100) == sk.accuracy_score(target[kept], predicted[kept])
        e = np.exp(scores)
        p = np.take_along_axis(e / e.sum(1, keepdims=True), np.where(kept, target, 0)[:, None], 1)[:, 0]
        assert M.perplexity(scores, target) == pytest.approx(np.exp(-np.log(p[kept]).mean()))

    def test_binary(self, rng):
        logits, target = rng.standard_normal(50), rng.integers(0, 2, 50)
        expected = sk.accuracy_score(target, logits > 0)
        assert M.accuracy(logits, target) == expected
        assert M.accuracy(logits[:, None], target) == expected
        assert M.accuracy(logits[:, None], target[:, None].astype(float)) == expected
        probabilities = 1 / (1 + np.exp(-logits))
        assert M.f1(probabilities, target, threshold=0.5) == pytest.approx(
            sk.f1_score(target, logits > 0, average="macro")
        )

    def test_one_hot_targets(self, classified):
        scores, target = classified
        assert M.accuracy(scores, np.eye(C)[target]) == M.accuracy(scores, target)

    def test_classes_given(self, classified):
        scores, target = classified
        np.testing.assert_array_equal(
            M.confusion_matrix(scores.argmax(1), target, num_classes=C), M.confusion_matrix(scores, target)
        )

    def test_absent_classes_do_not_count(self):
        """As scikit-learn, which warns of them."""
        assert M.f1([0, 0, 1], [0, 1, 1], num_classes=9) == pytest.approx(
            sk.f1_score([0, 1, 1], [0, 0, 1], average="macro")
        )

    def test_constant_target(self):
        assert M.r2([1.0, 1.0], [1.0, 1.0]) == sk.r2_score([1.0, 1.0], [1.0, 1.0]) == 1.0
        assert M.r2([1.0, 2.0], [1.0, 1.0]) == sk.r2_score([1.0, 1.0], [1.0, 2.0]) == 0.0


@pytest.mark.parametrize("name", M.NAMED)
class TestEvery:
    def data(self, name, rng):
        if name in ("mse", "mae", "rmse", "r2"):
            return rng.standard_normal((24, 2)), rng.standard_normal((24, 2))
        return rng.standard_normal((24, 6)), rng.integers(0, 6, 24)

    def test_empty_reset_and_call(self, name, rng):
        metric = M.NAMED[name]()
        output, target = self.data(name, rng)
        first = np.array(metric(output, target))
        assert np.all(np.isnan(metric.compute())) or name == "confusion_matrix"
        metric.update(output[:7], target[:7])
        metric.reset()
        np.testing.assert_array_equal(in_batches(metric, output, target, size=24), first)
        np.testing.assert_array_equal(getattr(M, name)(output, target), first)

    def test_state_goes_through_json(self, name, rng):
        output, target = self.data(name, rng)
        whole, half = M.NAMED[name](), M.NAMED[name]()
        in_batches(whole, output, target, size=8)
        in_batches(half, output[:16], target[:16], size=8)
        rest = M.NAMED[name]()
        rest.load_state_dict(json.loads(json.dumps(half.state_dict())))
        np.testing.assert_array_equal(in_batches(rest, output[16:], target[16:], size=8), whole.compute())

    def test_foreign_state(self, name):
        with pytest.raises(ValueError, match=r"must have the entries .*got \['strange'\]"):
            M.NAMED[name]().load_state_dict({"strange": 1})


class TestErrors:
    def test_shapes(self):
        with pytest.raises(ValueError, match=r"`target` must have the output's shape \(3, 1\), got \(3,\)"):
            M.mse(np.zeros((3, 1)), np.zeros(3))
        with pytest.raises(ValueError, match=r"`target` must have the shape of the predictions, \(3,\), got \(4,\)"):
            M.accuracy(np.zeros((3, 2)), np.zeros(4, int))
        with pytest.raises(ValueError, match=r"`output` must be scores .* got shape \(3,\)"):
            M.perplexity(np.zeros(3), np.zeros(3, int))
        with pytest.raises(ValueError, match=r"`output` must be scores .* got shape \(3,\)"):
            M.top_k_accuracy(np.zeros(3), np.zeros(3, int))

    def test_options(self):
        with pytest.raises(ValueError, match=r"`k` must be at least 1, got 0"):
            M.TopKAccuracy(0)
        with pytest.raises(ValueError, match=r"`average` must be .* got 'mean'"):
            M.F1(average="mean")
        with pytest.raises(ValueError, match=r"`num_classes` must be given .* got None"):
            M.confusion_matrix([0, 1], [0, 1])

    def test_labels_out_of_range(self):
        with pytest.raises(ValueError, match=r"must be in \[0, 2\), got 1 outside"):
            M.confusion_matrix([0, 1, 1], [0, 1, 2], num_classes=2)

    def test_collect(self):
        assert list(M.collect({"a": "f1"})) == ["a"]
        assert M.collect(None) == {}
        assert list(M.collect("mse")) == ["mse"]
        with pytest.raises(ValueError, match=r"names among accuracy, .* got 'acuracy'"):
            M.collect(["acuracy"])
        with pytest.raises(ValueError, match=r"got 'f1' twice"):
            M.collect(["f1", M.F1()])
        with pytest.raises(TypeError, match=r"got int"):
            M.collect(3)
