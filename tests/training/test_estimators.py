"""Networks as scikit-learn's estimators: its own checks, and its tools on them."""

import pickle
import subprocess
import sys

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft.training import Classifier, Regressor

datasets = pytest.importorskip("sklearn.datasets", reason='pip install "weft[train]"')
estimator_checks = pytest.importorskip("sklearn.utils.estimator_checks")
selection = pytest.importorskip("sklearn.model_selection")

CHECKS = {
    "check_regressors_train", "check_regressor_multioutput", "check_methods_subset_invariance", "check_fit_idempotent",
    "check_estimators_pickle", "check_estimators_unfitted", "check_n_features_in", "check_estimators_nan_inf",
    "check_dict_unchanged",
}  # fmt: skip


def failures(estimator):
    results = estimator_checks.check_estimator(estimator, on_fail=None, on_skip=None)
    assert len(results) > 50
    return [(r["check_name"], r["exception"]) for r in results if r["status"] not in ("passed", "skipped")]


def test_classifier():
    assert failures(Classifier()) == []


@pytest.mark.slow
def test_regressor():
    assert failures(Regressor()) == []


def test_regressor_in_short():
    done = set()
    for estimator, check in estimator_checks.estimator_checks_generator(Regressor()):
        if check.func.__name__ in CHECKS:
            check(estimator)
            done.add(check.func.__name__)
    assert done == CHECKS


@pytest.fixture(scope="module")
def iris():
    x, y = datasets.load_iris(return_X_y=True)
    return x, np.array(["setosa", "versicolor", "virginica"])[y]


def test_search_in_a_pipeline(iris):
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler

    pipeline = make_pipeline(MinMaxScaler(), Classifier(epochs=15, random_state=0))
    grid = {"classifier__lr": [1e-7, 1e-2], "classifier__hidden": [(16,)]}
    search = selection.GridSearchCV(pipeline, grid, cv=selection.StratifiedKFold(3, shuffle=True, random_state=0))
    search.fit(*iris)
    assert search.best_params_["classifier__lr"] == 1e-2
    assert search.score(*iris) > 0.9
    assert set(search.predict(iris[0])) == {"setosa", "versicolor", "virginica"}
    probabilities = search.predict_proba(iris[0])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    np.testing.assert_array_equal(search.classes_[probabilities.argmax(axis=1)], search.predict(iris[0]))


def test_a_model_of_ones_own(iris):
    def make(shape, outputs):
        return nn.Sequential(nn.Linear(*shape, 8), nn.Tanh(), nn.Linear(8, outputs))

    scores = selection.cross_val_score(Classifier(make, epochs=20, lr=0.02, random_state=1), *iris, cv=3)
    assert scores.min() > 0.85


def test_images():
    x, y = datasets.load_digits(return_X_y=True)
    x, y = x[:200].reshape(-1, 1, 8, 8), y[:200]
    classifier = Classifier("cnn", epochs=4, random_state=0).fit(x, y)
    assert classifier.score(x, y) > 0.8


def test_units_and_several_targets(rng):
    x = rng.standard_normal((200, 3))
    y = np.stack([1e6 + 1e4 * x[:, 0], 1e-3 * x[:, 1]], axis=1)
    regressor = Regressor(epochs=30, random_state=0).fit(x, y)
    assert regressor.predict(x).shape == (200, 2)
    assert regressor.score(x, y) > 0.97  # the mean over targets: both in their units
    assert Regressor(epochs=1, random_state=0).fit(x, y[:, 0]).predict(x).shape == (200,)


def test_class_weight(rng):
    y = (np.arange(300) % 30 == 0).astype(int)
    x = rng.normal(1.5 * y, 1)[:, None]
    plain, balanced = (
        Classifier(epochs=10, random_state=0, class_weight=weight).fit(x, y) for weight in (None, "balanced")
    )
    assert plain.predict(x).sum() < 5
    assert balanced.predict(x)[y == 1].mean() > 0.7


def test_the_same_seed_and_nobody_elses(iris):
    weft.manual_seed(7)
    expected = weft.rand(3).tolist()
    weft.manual_seed(7)
    fits = [Classifier(epochs=2, random_state=seed).fit(*iris).predict_proba(iris[0]) for seed in (0, 0, 1)]
    assert weft.rand(3).tolist() == expected
    np.testing.assert_array_equal(fits[0], fits[1])
    assert np.abs(fits[0] - fits[2]).max() > 1e-3


def test_pickled(iris):
    classifier = Classifier(epochs=2, random_state=0).fit(*iris)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(classifier)).predict(iris[0]), classifier.predict(iris[0]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "vgg"}, "`model` must be one of mlp, cnn, resnet18, or a function, got 'vgg'"),
        ({"optimizer": "adagrad2"}, "`optimizer` must be one of adam, .*, got 'adagrad2'"),
        ({"batch_size": 0}, "`batch_size` must be an integer at least 1, got 0"),
        ({"epochs": -1}, "`epochs`"),
        ({"model": 3}, "`model` must be one of mlp, cnn, resnet18, or a function, got 3"),
        ({"model": lambda shape, outputs: None}, "`model` must be a function that returns a Module, got None from it"),
        ({"hidden": 5}, r"`hidden` must be a sequence of widths, got 5; one layer is \(64,\)"),
        ({"callbacks": 3}, "`callbacks` must be a sequence of callbacks, got 3"),
        ({"class_weight": {"setosa": -1.0}}, "`class_weight` must hold finite weights ≥ 0, got .*-1.0"),
        ({"class_weight": {"setosa": float("nan")}}, "`class_weight` must hold finite weights ≥ 0, got .*nan"),
    ],
)
def test_wrong_options(iris, options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        Classifier(**options).fit(*iris)


def test_one_class(iris):
    with pytest.raises(ValueError, match="`y` must hold at least two classes, got one class: 'setosa'"):
        Classifier().fit(iris[0][:9], iris[1][:9])


def test_imported_when_asked_for():
    code = """
import sys, weft.training
assert "sklearn" not in sys.modules
sys.modules["sklearn.base"] = None
try:
    weft.training.Classifier
except ImportError as error:
    assert 'pip install "weft[train]"' in str(error), error
try:
    weft.training.Clasifier
except AttributeError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "module 'weft.training' has no attribute 'Clasifier'; did you mean `Classifier`?\n", (
        done.stderr
    )
