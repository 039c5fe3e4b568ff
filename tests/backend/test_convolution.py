"""Against explicit loops over output positions in float64; derivatives by central differences."""


import numpy as np
from harness import Case

from weft.backend.convolution import conv_transpose2d

rng = np.random.default_rng(0)


def a(*shape):
    return rng.standard_normal(shape)


def pairs(padding):
    return [(p, p) if isinstance(p, int) else p for p in padding]


def correlation(x, weight, bias=None, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1):
    x = np.pad(x, [(0, 0), (0, 0), *pairs(padding)])
    (o, c, kh, kw), (sh, sw), (dh, dw) = weight.shape, stride, dilation
    height, width = [(n - d * (k - 1) - 1) // s + 1 for n, d, k, s in zip(x.shape[2:], dilation, (kh, kw), stride)]
    y = np.zeros((len(x), o, height, width))
    for n, i, h, w in np.ndindex(y.shape):
        first = i // (o // groups) * c  # channel of the group
        window = x[n, first : first + c, h * sh :, w * sw :][:, : dh * (kh - 1) + 1 : dh, : dw * (kw - 1) + 1 : dw]
        y[n, i, h, w] = (window * weight[i]).sum() + (0 if bias is None else bias[i])
    return y


def transposed(
    x, weight, bias=None, stride=(1, 1), padding=(0, 0), output_padding=(0, 0), dilation=(1, 1), groups=1
):
    (c, o, kh, kw), (sh, sw), (dh, dw), sides = weight.shape, stride, dilation, pairs(padding)
    spans = [(n - 1) * s + d * (k - 1) + 1 for n, s, d, k in zip(x.shape[2:], stride, dilation, (kh, kw))]
    height, width = [n + extra for n, extra in zip(spans, output_padding)]
    y = np.zeros((len(x), o * groups, height, width))
    for n, i, h, w in np.ndindex(x.shape):
        first = i // (c // groups) * o
        window = y[n, first : first + o, h * sh :, w * sw :][:, : dh * (kh - 1) + 1 : dh, : dw * (kw - 1) + 1 : dw]
        window += x[n, i, h, w] * weight[i]
    y = y[:, :, sides[0][0] : height - sides[0][1], sides[1][0] : width - sides[1][1]]
    return y if bias is None else y + bias[:, None, None]


def options(stride=1, padding=0, dilation=1, groups=1, **more):
    both = lambda n: (n, n) if isinstance(n, int) else n
    return {"stride": both(stride), "padding": both(padding), "dilation": both(dilation), "groups": groups, **more}


# x, weight, options
CONVOLUTIONS = [
    ((2, 3, 5, 6), (4, 3, 3, 3), options(padding=1)),
    ((1, 2, 7, 6), (3, 2, 3, 2), options(stride=2)),
    ((2, 2, 6, 7), (2, 2, 2, 4), options(padding=((0, 1), (1, 2)))),  # "same" with even kernels
    ((1, 2, 8, 7), (2, 2, 3, 2), options(stride=(1, 3), padding=(2, 1), dilation=(2, 3))),
    ((2, 4, 5, 4), (6, 2, 3, 3), options(stride=(2, 1), padding=(1, 0), groups=2)),
    ((2, 3, 4, 5), (6, 1, 3, 1), options(padding=(1, 0), groups=3)),  # depthwise, two each
    ((2, 3, 4, 5), (2, 3, 1, 1), options()),
    ((1, 2, 5, 5), (2, 2, 1, 1), options(stride=3)),  # pixels that no window sees
    ((1, 1, 1, 1), (1, 1, 3, 3), options(padding=2)),
    ((0, 2, 4, 4), (3, 2, 3, 3), options(padding=1)),
]
TRANSPOSED = [
    ((2, 3, 4, 5), (3, 2, 3, 3), options(padding=1)),
    ((1, 2, 4, 3), (2, 3, 3, 2), options(stride=2, padding=(1, 0), output_padding=(1, 1))),
    ((1, 2, 3, 3), (2, 2, 2, 2), options(stride=3, dilation=2, output_padding=(2, 1))),
    ((2, 4, 3, 4), (4, 3, 3, 3), options(stride=(2, 1), groups=2)),
    ((1, 2, 2, 3), (2, 1, 2, 2), options(stride=1, dilation=3, output_padding=(2, 1))),  # beyond what x reaches
    ((0, 2, 4, 4), (2, 3, 3, 3), options(stride=2)),
]
# For the forms on NumPy, which take other ways where there are many channels. There is no other generic form to test.
WIDE = [
    ((3, 32, 5, 6), (32, 32, 3, 3), options(padding=1)),
    ((2, 17, 6, 5), (64, 17, 3, 2), options(padding=(0, 1))),
    ((2, 64, 4, 5), (16, 64, 3, 1), options(padding=((2, 0), (0, 0)))),
    ((2, 32, 6, 4), (3, 16, 2, 3), options(stride=(1, 2), padding=1)) if False else ((2, 16, 6, 4), (3, 16, 2, 3), options(stride=(1, 2), padding=1)),
    ((2, 16, 6, 7), (4, 16, 5, 5), options(padding=2)),
    ((2, 32, 6, 7), (32, 16, 3, 3), options(padding=1, groups=2)),
    ((2, 16, 7, 7), (16, 16, 3, 3), options(padding=2, dilation=2)),
    ((5, 16, 3, 4), (20, 16, 1, 1), options()),
]


def cases(primitive, reference, table, **more):
    def case(x, weight, static, bias):
        o = weight[1] * static["groups"] if primitive is conv_transpose2d else weight[0]
        return Case(primitive, (a(*x), a(*weight), *bias(o)), reference, static, tolerance=3, **more)

    return [case(*row, bias) for row in table for bias in (lambda o: (a(o),), lambda o: ())]


