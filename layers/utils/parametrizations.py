"""Parametrisations of weights, as `torch.nn.utils.parametrizations`: weight norm, spectral norm, orthogonal matrices."""

from __future__ import annotations

from ...backend.device.options import integer
from ...backend.tape.tensor import Tensor
from .. import functional as F
from ..module import Module
from .legacy_spectral_norm import as_matrix, axis_of_outputs, direction, divided, iterate
from .legacy_weight_norm import norm_but, normed
from .orthogonal import MAPS, Orthogonal
from .parametrize import register_parametrization

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]


class _WeightNorm(Module):
    def __init__(self, dim: int | None = 0):
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Tensor:
        return normed(weight_g, weight_v, self.dim)

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return norm_but(weight, self.dim), weight


class _SpectralNorm(Module):
    _u: Tensor
    _v: Tensor

    def __init__(self, weight: Tensor, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12):
        self.dim = dim % weight.ndim
        self.eps = eps
        if weight.ndim > 1:
            self.n_power_iterations = n_power_iterations
            matrix = as_matrix(weight.detach(), self.dim)
            self.register_buffer("_u", direction(matrix.shape[0], weight, eps))
            self.register_buffer("_v", direction(matrix.shape[1], weight, eps))
            iterate(matrix, self._u, self._v, 15, eps, True)

    def forward(self, weight: Tensor) -> Tensor:
        if weight.ndim == 1:
            return F.normalize(weight, dim=0, eps=self.eps)
        matrix = as_matrix(weight, self.dim)
        if self.training:
            iterate(matrix.detach(), self._u, self._v, self.n_power_iterations, self.eps, True)
        return divided(weight, matrix, self._u, self._v)

    def right_inverse(self, value: Tensor) -> Tensor:
        return value


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Weight normalisation: w = g v / ‖v‖, length and direction learned apart, as `original0` and `original1`.

    A state_dict with the older names `weight_g`, `weight_v` loads, too.

    Parameters
    ----------
    module : Module
        What has the weight.
    name : str, default "weight"
        Its name.
    dim : int or None, default 0
        The axis that is not summed over: a norm for each output. None is one norm for all.

    Returns
    -------
    Module
        `module` itself.

    References
    ----------
    Salimans & Kingma, "Weight Normalization: A Simple Reparameterization to Accelerate Training of Deep Neural Networks"
    (2016).

    Examples
    --------
    >>> from weft import layers as nn
    >>> from weft.layers.utils.parametrizations import weight_norm
    >>> {name: p.shape for name, p in weight_norm(nn.Linear(4, 3)).named_parameters()}
    {'bias': (3,), 'parametrizations.weight.original0': (3, 1), 'parametrizations.weight.original1': (3, 4)}
    """
    register_parametrization(module, name, _WeightNorm(dim), unsafe=True)
    old = {f"{name}_{part}": f"parametrizations.{name}.original{i}" for i, part in enumerate("gv")}
    module._renamed_state = {**module._renamed_state, **old}
    return module


def spectral_norm(
    module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> Module:
    """Spectral normalisation: w / σ(w), σ the largest singular value, by power iterations whenever w is looked at in training.

    The vectors of the iterations are buffers, `_u` and `_v`; fifteen are made at first.

    Parameters
    ----------
    module : Module
        What has the weight; of a vector it is the vector's norm.
    name : str, default "weight"
        Its name.
    n_power_iterations : int, default 1
        How many at a time.
    eps : float, default 1e-12
        Keeps the divisions from 0.
    dim : int, optional
        The axis of outputs: 0 unless given, 1 for transposed convolutions.

    Returns
    -------
    Module
        `module` itself.

    Raises
    ------
    ValueError
        If there is no such tensor, or `n_power_iterations` is not positive.
    IndexError
        If there is no axis `dim`.

    References
    ----------
    Miyato et al., "Spectral Normalization for Generative Adversarial Networks" (2018).

    Examples
    --------
    >>> from weft import layers as nn
    >>> from weft.layers.utils.parametrizations import spectral_norm
    >>> layer = spectral_norm(nn.Linear(4, 3), n_power_iterations=50)
    >>> round(weft.linalg.svdvals(layer.weight.detach())[0].item(), 3)
    1.0
    """
    weight = _tensor_of(module, name)
    integer("n_power_iterations", n_power_iterations, 1)
    dim = axis_of_outputs(module, dim)
    if not -weight.ndim <= dim < weight.ndim:
        raise IndexError(f"`dim` must be in [{-weight.ndim}, {weight.ndim}), got {dim}")
    return register_parametrization(module, name, _SpectralNorm(weight, n_power_iterations, dim, eps))


def orthogonal(
    module: Module, name: str = "weight", orthogonal_map: str | None = None, *, use_trivialization: bool = True
) -> Module:
    """A matrix with orthonormal columns, or rows where these are fewer.

    - "matrix_exp": Q = exp A, A skew-symmetric; its norm is read on the host.
    - "cayley": Q = (1 + A/2)(1 − A/2)⁻¹.
    - "householder": the product of the reflections at the columns below the diagonal.

    All solve linear systems, which are not recorded on a GPU: `capture` warns there, and runs such a step as usual.
    With the trivialisation Q is multiplied by a fixed orthogonal `base`, from which it starts.

    Parameters
    ----------
    module : Module
        What has the matrix, or matrices (…, m, n).
    name : str, default "weight"
        Its name.
    orthogonal_map : {"matrix_exp", "cayley", "householder"}, optional
        "matrix_exp" of square matrices, "householder" of others unless given.
    use_trivialization : bool, default True
        Whether there is a base: the given matrix, made orthogonal.

    Returns
    -------
    Module
        `module` itself.

    Raises
    ------
    ValueError
        If there is no such tensor, it is no matrix, or `orthogonal_map` is another word.

    Notes
    -----
    Where PyTorch's "householder" cuts the numbers on the diagonal down to integers, weft takes their signs: weight decay
    leaves the matrix orthogonal.

    References
    ----------
    Lezcano-Casado, "Trivializations for Gradient-Based Optimization on Manifolds" (2019).

    Examples
    --------
    >>> from weft import layers as nn
    >>> from weft.layers.utils.parametrizations import orthogonal
    >>> q = orthogonal(nn.Linear(2, 4)).weight.detach()
    >>> np.allclose((q.T @ q).numpy(), np.eye(2), atol=1e-6)
    True
    """
    weight = _tensor_of(module, name)
    if weight.ndim < 2:
        raise ValueError(f"`name` must be that of a matrix, got {name!r} of shape {tuple(weight.shape)}")
    if orthogonal_map is None:
        orthogonal_map = "matrix_exp" if weight.shape[-2] == weight.shape[-1] else "householder"
    if orthogonal_map not in MAPS:
        raise ValueError(f"`orthogonal_map` must be one of {', '.join(map(repr, MAPS))}, got {orthogonal_map!r}")
    return register_parametrization(module, name, Orthogonal(weight, orthogonal_map, use_trivialization), unsafe=True)


def _tensor_of(module: Module, name: str) -> Tensor:
    found = getattr(module, name, None)
    if not isinstance(found, Tensor):
        raise ValueError(f"`name` must be that of a parameter or buffer of {type(module).__name__}, got {name!r}")
    return found
