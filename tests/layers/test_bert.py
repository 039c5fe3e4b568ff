"""BERT against its formulas in NumPy, from files in Hugging Face's layout."""

import json
import math

import numpy as np
import pytest
from safetensors.numpy import save_file

import weft
from weft import layers as nn
from weft.layers import models

SIZES = {"vocab_size": 13, "context": 9, "width": 8, "layers": 2, "heads": 2, "hidden": 12}
TOKENS, MASK, SEGMENTS = (
    np.array([[3, 0, 7, 1], [5, 5, 2, 0]]),
    np.array([[1, 1, 1, 1], [1, 1, 1, 0]]),
    np.array([[0, 0, 1, 1]] * 2),
)


@pytest.fixture
def weights():
    rng = np.random.default_rng(0)
    state = models.BERT(**SIZES).state_dict()
    return {name: rng.normal(size=t.shape) * 0.5 for name, t in state.items()}


def norm(x, w, name):
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-12) * w[f"{name}.weight"] + w[f"{name}.bias"]


def dense(x, w, name):
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def bert(w, heads=2):
    """Devlin et al. (2019), with the names of the files."""
    x = w["embeddings.word_embeddings.weight"][TOKENS] + w["embeddings.position_embeddings.weight"][:4]
    x = norm(x + w["embeddings.token_type_embeddings.weight"][SEGMENTS], w, "embeddings.LayerNorm")
    for i in range(2):
        at = f"encoder.layer.{i}"
        q, k, v = (
            dense(x, w, f"{at}.attention.self.{n}").reshape(2, 4, heads, -1).swapaxes(1, 2)
            for n in ("query", "key", "value")
        )
        scores = q @ k.swapaxes(2, 3) / math.sqrt(q.shape[-1]) + np.where(MASK, 0, -np.inf)[:, None, None]
        p = np.exp(scores - scores.max(-1, keepdims=True))
        y = (p / p.sum(-1, keepdims=True) @ v).swapaxes(1, 2).reshape(x.shape)
        x = norm(x + dense(y, w, f"{at}.attention.output.dense"), w, f"{at}.attention.output.LayerNorm")
        y = dense(x, w, f"{at}.intermediate.dense")
        y = y / 2 * (1 + np.vectorize(math.erf)(y / math.sqrt(2)))
        x = norm(x + dense(y, w, f"{at}.output.dense"), w, f"{at}.output.LayerNorm")
    return x, np.tanh(dense(x[:, 0], w, "pooler.dense"))


def write(folder, weights, config=None):
    save_file({name: np.ascontiguousarray(w) for name, w in weights.items()}, folder / "model.safetensors")
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))


CONFIG = {"model_type": "bert", "num_attention_heads": 2, "hidden_act": "gelu", "layer_norm_eps": 1e-12}


@pytest.mark.parametrize("prefix", ["", "bert."])
def test_numbers(weights, tmp_path, prefix):
    held = {prefix + name.replace("LayerNorm.weight", "LayerNorm.gamma"): w for name, w in weights.items()}
    held |= {f"{prefix}embeddings.position_ids": np.arange(9)[None], "cls.predictions.bias": np.zeros(13)}
    write(tmp_path, held, CONFIG)
    model = models.load_bert(tmp_path, dtype=weft.float64)
    assert not model.training
    got = model(*map(weft.asarray, (TOKENS, MASK, SEGMENTS)))
    for g, expected in zip(got, bert(weights)):
        np.testing.assert_allclose(g.detach().numpy(), expected, rtol=1e-10, atol=1e-12)


def test_without_a_pooler_and_in_training():
    model = models.BERT(**SIZES, pooler=False)
    hidden, pooled = model(weft.asarray(TOKENS))
    assert pooled is None
    hidden.sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    assert (hidden - model(weft.asarray(TOKENS)).last_hidden_state).abs().max().item() > 0  # dropout


def test_fine_tuned_with_a_head(weights, tmp_path):
    """A classifier on the pooled first token, lower layers frozen."""
    write(tmp_path, weights, CONFIG)
    weft.manual_seed(0)
    model, head = models.load_bert(tmp_path), nn.Linear(8, 2)
    weft.optimizers.freeze(model, "embeddings.*", "encoder.layer.0.*")
    optimizer = weft.optimizers.AdamW(
        [*(p for p in model.parameters() if p.requires_grad), *head.parameters()], lr=1e-2
    )
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(head(model(weft.asarray(TOKENS)).pooler_output), weft.asarray([0, 1]))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 3


class TestErrors:
    @pytest.mark.parametrize(
        ("change", "config", "message"),
        [
            ({}, {"hidden_act": "relu"}, "a config.json with `hidden_act` 'gelu', found 'relu'"),
            ({}, {"model_type": "roberta"}, "`model_type` 'bert', found 'roberta'"),
            ({"pooler.dense.bias": np.zeros(3)}, {}, r"pooler.dense.bias must have \(8,\), got \(3,\)"),
            (
                {"encoder.layer.0.output.dense.wieght": np.zeros(3)},
                {},
                "unexpected: encoder.layer.0.output.dense.wieght",
            ),
            ({"encoder.layer.0.intermediate.dense.weight": None}, {}, "expected weights of BERT, found"),
        ],
    )
    def test_files(self, weights, tmp_path, change, config, message):
        held = {name: w for name, w in {**weights, **change}.items() if w is not None}
        write(tmp_path, held, {"num_attention_heads": 2, **config})
        with pytest.raises(models.PretrainedError, match=message):
            models.load_bert(tmp_path)

    def test_calls(self):
        model = models.BERT(**SIZES)
        for call, message in (
            (lambda: models.BERT(width=10, heads=3), "`width` must be a multiple of `heads`, got 10 and 3"),
            (lambda: models.BERT(layers=0), "`layers` must be an integer ≥ 1, got 0"),
            (lambda: model(weft.zeros((1, 10)).long()), r"shape \(N, L\) with L ≤ 9, got \(1, 10\)"),
            (
                lambda: model(weft.asarray(TOKENS), weft.ones((2, 3))),
                r"`attention_mask` must have the shape .*, got \(2, 3\)",
            ),
        ):
            with pytest.raises(ValueError, match=message):
                call()

    def test_a_mask_of_floats(self):
        """As it is added to scores elsewhere, its 0 would be read as what does not count."""
        model = models.BERT(**SIZES)
        with pytest.raises(
            TypeError, match=r"`attention_mask` must be boolean or of integers, .* got float32; convert"
        ):
            model(weft.asarray(TOKENS), weft.zeros(TOKENS.shape))
