"""Llama's kind: errors, gradients, the cache; `test_pretrained.py` has its numbers."""

import numpy as np
import pytest

import weft
from weft.layers import models

SMALL = {"vocab_size": 11, "context": 8, "width": 16, "layers": 2, "heads": 4, "kv_heads": 2}


def test_every_parameter_gets_a_gradient():
    model = models.llama(**SMALL)
    model.loss(weft.tensor([[1, 2, 3]]), weft.tensor([[2, 3, 4]])).backward()
    assert all(p.grad is not None and p.grad.numpy().any() for p in model.parameters())


def test_position_is_relative():
    """Rotary positions: what lies before a sequence, if it is padding, moves every position and no result."""
    model = models.llama(**SMALL).double()
    x, mask = weft.tensor([[0, 0, 1, 2, 3]]), weft.tensor([[0, 0, 1, 1, 1]])
    np.testing.assert_allclose(model(x, mask)[:, 2:].detach(), model(x[:, 2:]).detach(), atol=1e-12)


def test_errors():
    with pytest.raises(ValueError, match="`heads` must divide `width`, 16, into even parts, got 16"):
        models.llama(**SMALL | {"heads": 16})
    with pytest.raises(ValueError, match="`kv_heads` must divide `heads`, 4, got 3"):
        models.llama(**SMALL | {"kv_heads": 3})
    with pytest.raises(ValueError, match="`tokens` must be at most 8, the model's context, got 9"):
        models.llama(**SMALL)(weft.zeros((1, 9), dtype=weft.int64))
