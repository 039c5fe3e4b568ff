"""`torch.vmap` in a program: slices one after the other, with PyTorch 2.13's shapes, random numbers and errors."""

import json

from torch_program import run

PROGRAM = """
    import json, torch
    from torch.func import vmap
    def show(*found): print(json.dumps(found))
    both = lambda x: {"twice": x * 2, "sum": (x.sum(), x[0])}
    found = vmap(both)(torch.ones(0, 3))
    show(found["twice"].shape, found["sum"][0].shape, found["sum"][1].shape)
    show(vmap(lambda a, b: a @ b, in_dims=(1, None), out_dims=1)(torch.ones(3, 0), torch.ones(3, 4)).shape)
    show(vmap(lambda p, x: p["w"] * x, in_dims=({"w": 0}, None))({"w": torch.ones(0, 2)}, torch.ones(2)).shape)
    for kind in ("different", "same"):
        drawn = vmap(lambda x: x + torch.randn(2), randomness=kind)(torch.zeros(3, 2))
        show(drawn.shape, bool((drawn[0] == drawn[1]).all()))
    for call in (lambda: vmap(lambda x: x + torch.randn(2))(torch.zeros(3, 2)), lambda: vmap(both, randomness="none"),
                 lambda: vmap(lambda x: 3)(torch.ones(2))):
        try:
            call()
            show("nothing")
        except (RuntimeError, ValueError) as error:
            show(str(error))
"""


def test_empty_axes_and_random_numbers(tmp_path):
    done = run(tmp_path, PROGRAM)
    assert done.returncode == 0, done.stderr
    assert list(map(json.loads, done.stdout.splitlines())) == [
        [[0, 3], [0], [0]],
        [[4, 0]],
        [[0, 2]],
        [[3, 2], False],
        [[3, 2], True],
        [
            "`randomness` must be 'different' or 'same' for a function that draws random numbers, got 'error'; say which "
            "as an argument of vmap"
        ],
        ["`randomness` must be 'error', 'different' or 'same', got 'none'"],
        ["`func` must return Tensors, got int"],
    ]
