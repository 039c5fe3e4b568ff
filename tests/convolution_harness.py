"""Convolutions for tests: what goes where, columns written tap by tap in float64, products by einsum."""

from typing import NamedTuple

import numpy as np

import weft
from weft.backend.nn.convolution import Geometry


class Case(NamedTuple):
    channels: int
    features: int
    image: tuple
    kernel: tuple
    stride: tuple = (1, 1)
    padding: tuple = ((0, 0), (0, 0))
    dilation: tuple = (1, 1)
    groups: int = 1
    batch: int = 2

    @property
    def static(self):
        return {"stride": self.stride, "padding": self.padding, "dilation": self.dilation, "groups": self.groups}

    @property
    def where(self):
        sizes = zip(self.image, self.padding, self.dilation, self.kernel, self.stride)
        output = tuple((n + sum(p) - d * (k - 1) - 1) // s + 1 for n, p, d, k, s in sizes)
        before = tuple(p[0] for p in self.padding)
        return Geometry(self.image, output, self.kernel, self.stride, before, self.dilation, self.groups)

    def arrays(self, seed=0):
        """x, weight, bias and a gradient of the output."""
        rng = np.random.default_rng(seed)
        shapes = (
            (self.batch, self.channels, *self.image),
            (self.features, self.channels // self.groups, *self.kernel),
            (self.features,),
            (self.batch, self.features, *self.where.output),
        )
        return [rng.standard_normal(s) for s in shapes]


def columns_of(x, where):
    """(N, C, KH, KW, Ho, Wo)"""
    columns = np.zeros((*x.shape[:2], *where.kernel, *where.output))
    for i, j, h, w in np.ndindex(*where.kernel, *where.output):
        y, z = (o * s + t * d - b for o, s, t, d, b in zip((h, w), where.stride, (i, j), where.dilation, where.before))
        if 0 <= y < where.image[0] and 0 <= z < where.image[1]:
            columns[:, :, i, j, h, w] = x[:, :, y, z]
    return columns


def image_of(columns, where):
    """The adjoint."""
    image = np.zeros((*columns.shape[:2], *where.image))
    for i, j, h, w in np.ndindex(*where.kernel, *where.output):
        y, z = (o * s + t * d - b for o, s, t, d, b in zip((h, w), where.stride, (i, j), where.dilation, where.before))
        if 0 <= y < where.image[0] and 0 <= z < where.image[1]:
            image[:, :, y, z] += columns[:, :, i, j, h, w]
    return image


def reference(x, weight, bias, g, where):
    """Output and gradients of a convolution."""
    n, c = x.shape[:2]
    o, groups = weight.shape[0], where.groups
    columns = columns_of(x, where).reshape(n, groups, c // groups, *where.kernel, *where.output)
    kernel, grad = weight.reshape(groups, o // groups, *weight.shape[1:]), g.reshape(n, groups, -1, *where.output)
    y = np.einsum("ngcijhw,gocij->ngohw", columns, kernel).reshape(g.shape) + bias[:, None, None]
    grad_columns = np.einsum("ngohw,gocij->ngcijhw", grad, kernel).reshape(n, c, *where.kernel, *where.output)
    grad_weight = np.einsum("ngohw,ngcijhw->gocij", grad, columns).reshape(weight.shape)
    return y, image_of(grad_columns, where), grad_weight, g.sum((0, 2, 3))


def run(primitive, arrays, static, where="emulator"):
    """Output and gradients of a primitive of (x, weight, bias) on a device."""
    x, weight, bias, g = arrays
    inputs = [weft.asarray(a, device=where).requires_grad_() for a in (x, weight, bias)]
    y = primitive(*inputs, **static)
    y.backward(weft.asarray(g, device=where))
    return tuple(t.detach().numpy() for t in (y, *(t.grad for t in inputs)))
