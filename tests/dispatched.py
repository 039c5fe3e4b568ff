"""What SciPy and scikit-learn make of Tensors, beside what they make of the same NumPy arrays; run by test_interchange.py.

A process of its own, since SciPy looks at SCIPY_ARRAY_API when it is imported. Prints, as JSON, for each function what kind of
result it gave and by how much its numbers differ.
"""

import json
import os
import warnings

os.environ["SCIPY_ARRAY_API"] = "1"

import numpy as np
import scipy.differentiate
import scipy.fft
import scipy.integrate
import scipy.ndimage
import scipy.optimize
import scipy.signal
import scipy.spatial.distance
import scipy.special
import scipy.stats
import sklearn
from sklearn import decomposition, discriminant_analysis, linear_model, metrics, mixture, naive_bayes, preprocessing

import weft

RNG = np.random.default_rng(0)
X = np.linspace(0.1, 0.9, 12).reshape(4, 3)
SAMPLES, CLASSES, TARGETS = RNG.normal(size=(60, 4)), RNG.integers(0, 2, 60), RNG.normal(size=60)


def transformed(estimator):
    return lambda x: estimator().fit_transform(x(SAMPLES))


def classified(estimator):
    return lambda x: estimator().fit(x(SAMPLES), x(CLASSES)).predict_proba(x(SAMPLES))


# fmt: off
SCIPY = {
    **{f"special.{n}": lambda x, n=n: getattr(scipy.special, n)(x(X), axis=1) for n in ("logsumexp", "softmax", "log_softmax")},
    **{f"special.{n}": lambda x, n=n: getattr(scipy.special, n)(x(X))
       for n in ("gammaln", "erf", "expit", "logit", "entr", "log_ndtr", "ndtri", "i0", "gamma", "digamma")},
    **{f"special.{n}": lambda x, n=n: getattr(scipy.special, n)(x(X), x(X + 1)) for n in ("xlogy", "rel_entr")},
    **{f"stats.{n}": lambda x, n=n: getattr(scipy.stats, n)(x(X))
       for n in ("zscore", "skew", "kurtosis", "sem", "gmean", "hmean", "variation", "moment", "entropy", "rankdata")},
    "stats.pearsonr": lambda x: scipy.stats.pearsonr(x(X[:, 0]), x(X[:, 1] ** 2)).statistic,
    "stats.ttest_ind": lambda x: scipy.stats.ttest_ind(x(X), x(X**2)).statistic,
    **{f"fft.{n}": lambda x, n=n: getattr(scipy.fft, n)(x(X)) for n in ("fft", "rfft", "fftn", "dct")},
    **{f"signal.{n}": lambda x, n=n: getattr(scipy.signal, n)(x(X[:, 0]), x(X[:, 1])) for n in ("fftconvolve", "convolve")},
    "signal.hilbert": lambda x: scipy.signal.hilbert(x(X[:, 0])),
    "ndimage.gaussian_filter": lambda x: scipy.ndimage.gaussian_filter(x(X), 1.0),
    "integrate.trapezoid": lambda x: scipy.integrate.trapezoid(x(X)),
    "integrate.cumulative_trapezoid": lambda x: scipy.integrate.cumulative_trapezoid(x(X)),
    "optimize.rosen": lambda x: scipy.optimize.rosen(x(X[:, 0])),
    "spatial.distance.pdist": lambda x: scipy.spatial.distance.pdist(x(X)),
    "differentiate.derivative": lambda x: scipy.differentiate.derivative(lambda t: 1 / t, x(X)).df,
}
SKLEARN = {
    **{n: transformed(getattr(preprocessing, n))
       for n in ("StandardScaler", "MinMaxScaler", "MaxAbsScaler", "Normalizer", "PolynomialFeatures")},
    "PCA": transformed(lambda: decomposition.PCA(2, svd_solver="full")),
    "Ridge": lambda x: linear_model.Ridge(solver="svd").fit(x(SAMPLES), x(TARGETS)).predict(x(SAMPLES)),
    "LogisticRegression": classified(linear_model.LogisticRegression),
    "LinearDiscriminantAnalysis": classified(discriminant_analysis.LinearDiscriminantAnalysis),
    "GaussianNB": classified(naive_bayes.GaussianNB),
    "GaussianMixture": classified(lambda: mixture.GaussianMixture(2, init_params="random", random_state=0)),
    **{f"metrics.{n}": lambda x, n=n: getattr(metrics, n)(x(CLASSES), x(CLASSES[::-1].copy()))
       for n in ("accuracy_score", "f1_score", "confusion_matrix")},
    **{f"metrics.{n}": lambda x, n=n: getattr(metrics, n)(x(TARGETS), x(TARGETS * 0.9))
       for n in ("mean_squared_error", "r2_score")},
    **{f"metrics.pairwise.{n}": lambda x, n=n: getattr(metrics.pairwise, n)(x(SAMPLES))
       for n in ("euclidean_distances", "rbf_kernel")},
}
DIFFERENTIATED = {
    "logsumexp": scipy.special.logsumexp, "zscore": lambda x: scipy.stats.zscore(x)[:2], "rosen": scipy.optimize.rosen,
}
# fmt: on


def compared(f):
    got, expected = f(weft.asarray), np.asarray(f(np.asarray))
    return type(got).__name__, float(np.abs(np.asarray(got) - expected).max())


def off_by(f):
    """The largest error of a gradient, against central differences."""
    x = weft.asarray(X[:, 0]).requires_grad_()
    f(x).sum().backward()
    slopes = [float(np.sum(f(X[:, 0] + d) - f(X[:, 0] - d))) / 2e-6 for d in 1e-6 * np.eye(4)]
    return float(np.abs(x.grad.numpy() - slopes).max())


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    found = {name: compared(f) for name, f in SCIPY.items()}
    with sklearn.config_context(array_api_dispatch=True):
        found.update({name: compared(f) for name, f in SKLEARN.items()})
    print(json.dumps({"values": found, "gradients": {name: off_by(f) for name, f in DIFFERENTIATED.items()}}))
