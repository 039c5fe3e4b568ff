"""Files in Hugging Face's layout, written here: loaded as they are, or named with what is wrong with them."""

import json
import re

import numpy as np
import pytest
from language_models import gpt2, gpt2_weights, llama, llama_weights
from safetensors.numpy import save_file

import weft
from weft.layers import models

TOKENS = np.array([3, 0, 22, 7, 7, 1, 19])
LLAMA = {
    "model_type": "llama",
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 12,
    "rope_parameters": {"rope_theta": 100.0, "rope_type": "default"},
    "rms_norm_eps": 1e-3,
}


def write(folder, weights, config=None, name="model.safetensors"):
    folder.mkdir(exist_ok=True)
    save_file({k: np.ascontiguousarray(v) for k, v in weights.items()}, folder / name)
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))


def shard(folder, weights, config):
    """One file for each weight, and an index."""
    places = {name: f"model-{i + 1:05}.safetensors" for i, name in enumerate(weights)}
    for name, file in places.items():
        write(folder, {name: weights[name]}, config, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))


def logits(model):
    return model(weft.asarray(TOKENS[None])).detach().numpy()[0]


@pytest.fixture
def weights(rng):
    return gpt2_weights(rng)


CONFIG = {"model_type": "gpt2", "n_head": 4, "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5}


@pytest.mark.parametrize("prefix", ["", "transformer."])
@pytest.mark.parametrize("write", [write, shard])
def test_gpt2(tmp_path, weights, prefix, write):
    held = {prefix + name: a for name, a in weights.items()}
    held[f"{prefix}h.0.attn.bias"] = np.tri(12)[None, None]  # a buffer of older versions
    held[f"{prefix}h.1.attn.masked_bias"] = np.array(-1e4)
    held["lm_head.weight"] = weights["wte.weight"].copy()
    write(tmp_path / "m", held, CONFIG)
    model = models.load_pretrained(tmp_path / "m", dtype=weft.float64)
    assert isinstance(model, models.GPT2)
    assert not model.training
    np.testing.assert_allclose(logits(model), gpt2(weights, TOKENS, 4), rtol=1e-10, atol=1e-12)


def test_gpt2_in_float32_from_a_file_alone(tmp_path, weights):
    write(tmp_path, {k: v.astype(np.float32) for k, v in weights.items()})
    model = models.load_pretrained(tmp_path / "model.safetensors", heads=2)
    assert logits(model).dtype == np.float32
    np.testing.assert_allclose(logits(model), gpt2(weights, TOKENS, 2), atol=1e-4)
    with pytest.raises(models.PretrainedError, match=r"expected a config.json with `n_head`, found none; pass heads="):
        models.load_pretrained(tmp_path)


@pytest.mark.parametrize("is_tied", [False, True])
def test_llama(tmp_path, rng, is_tied):
    weights = llama_weights(rng)
    held = dict(weights)
    if is_tied:
        weights["lm_head.weight"] = held["model.embed_tokens.weight"]
        del held["lm_head.weight"]
    held["model.layers.0.self_attn.rotary_emb.inv_freq"] = np.ones(2)
    write(tmp_path, held, LLAMA)
    model = models.load_pretrained(tmp_path, dtype=weft.float64)
    assert isinstance(model, models.Llama)
    assert (model.lm_head is None) == is_tied
    np.testing.assert_allclose(logits(model), llama(weights, TOKENS, 4, 2, 100.0, 1e-3), rtol=1e-10, atol=1e-12)


def without(*names):
    return lambda w: {k: v for k, v in w.items() if k not in names}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("h.1.ln_2.bias"), "missing: h.1.ln_2.bias"),
        (without("wpe.weight"), "expected the matrix wpe.weight, found none of that name"),
        (
            lambda w: w | {"h.0.mlp.c_fc.weight": np.ones((3, 4))},
            "shape: h.0.mlp.c_fc.weight must have (64, 16), got (4, 3)",
        ),
        (lambda w: w | {"h.0.mlp.gate.weight": np.ones(3)}, "unexpected: h.0.mlp.gate.weight"),
        (lambda w: w | {"lm_head.weight": 2 * w["wte.weight"]}, "expected lm_head.weight to be wte.weight"),
        (lambda w: {"conv.weight": np.ones(3)}, "expected weights of GPT-2 or Llama, found conv.weight"),
        (without("wte.weight"), "expected the matrix wte.weight, found none of that name"),
        (without("ln_f.bias"), "missing: ln_f.bias"),
        (lambda w: w | {"transformer.ln_f.bias": w["ln_f.bias"]}, "expected one tensor ln_f.bias, found another"),
        (
            lambda w: {name: a for name, a in w.items() if not name.startswith("h.1.")},
            "expected n_layer = 2 blocks, as in config.json, found no tensor h.1.…",
        ),
    ],
)
def test_weights_that_do_not_fit(tmp_path, weights, change, message):
    write(tmp_path, change(weights), CONFIG | {"n_layer": 2})
    with pytest.raises(models.PretrainedError, match=re.escape(message)):
        models.load_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"activation_function": "relu"}, "expected activation_function gelu_new, GPT-2's, found relu"),
        ({"n_head": 5}, "`heads` must divide `width`, 16, got 5"),
        ({"n_head": "4"}, "`heads` must be an integer ≥ 1, got '4'"),
        ({"n_layer": 1}, "expected n_layer = 2, as the weights have it, found 1 in config.json"),
        ({"n_layer": "2"}, "`n_layer` must be an integer ≥ 1, got '2'"),
        ({"vocab_size": 24}, "expected vocab_size = 23, as the weights have it, found 24 in config.json"),
        ({"n_positions": 13}, "expected n_positions = 12, as the weights have it, found 13 in config.json"),
        ({"n_embd": 32}, "expected n_embd = 16, as the weights have it, found 32 in config.json"),
        ({"n_inner": 32}, "expected n_inner = 64, as the weights have it, found 32 in config.json"),
        ({"layer_norm_epsilon": "x"}, "`layer_norm_epsilon` must be positive, got 'x'"),
        ({"add_cross_attention": True}, "expected add_cross_attention False, GPT-2's, found True"),
        ({"scale_attn_weights": "no"}, "expected scale_attn_weights true or false, found 'no' in config.json"),
        ({"tie_word_embeddings": False}, "expected lm_head.weight, since config.json has tie_word_embeddings false"),
        ({"model_type": "bert"}, "expected weights of GPT-2 or Llama, found bert"),
        ({"model_type": "llama"}, "expected weights of GPT-2 or Llama, found h.0.attn.c_attn.bias"),
    ],
)
def test_configurations_that_do_not_fit(tmp_path, weights, config, message):
    write(tmp_path, weights, CONFIG | config)
    with pytest.raises(models.PretrainedError, match=re.escape(message)):
        models.load_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"rope_parameters": {"rope_type": "yarn"}}, "expected rotations that are not scaled"),
        ({"rope_scaling": {"type": "linear"}, "rope_parameters": None}, "expected rotations that are not scaled"),
        ({"rope_parameters": "x"}, "expected rope_parameters to be an object, found 'x'"),
        ({"rope_parameters": {"rope_theta": "x"}}, "`rope_theta` must be positive, got 'x'"),
        ({"rope_parameters": {"partial_rotary_factor": 0.5}}, "expected rotations that are not scaled, and of all"),
        (
            {"num_hidden_layers": 3},
            "expected num_hidden_layers = 3 blocks, as in config.json, found no tensor layers.2.…",
        ),
        ({"num_attention_heads": "4"}, "`num_attention_heads` must be an integer ≥ 1, got '4'"),
        ({"num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 4}, "expected head_dim = 2, as the weights"),
        ({"hidden_size": 32}, "expected hidden_size = 16, as the weights have it, found 32 in config.json"),
        ({"intermediate_size": 32}, "shape: layers.0.mlp.gate_proj.weight must have (32, 16), got (24, 16)"),
        ({"attention_bias": True}, "expected attention_bias False, Llama's, found True"),
        ({"max_position_embeddings": 0}, "`max_position_embeddings` must be an integer ≥ 1, got 0"),
        ({"tie_word_embeddings": True}, "expected lm_head.weight to be embed_tokens.weight, as config.json has"),
        ({"hidden_act": "gelu"}, "expected hidden_act silu, Llama's, found gelu"),
    ],
)
def test_llamas_that_do_not_fit(tmp_path, rng, config, message):
    write(tmp_path, llama_weights(rng), LLAMA | config)
    with pytest.raises(models.PretrainedError, match=re.escape(message)):
        models.load_pretrained(tmp_path)


def test_llama_without_its_head(tmp_path, rng):
    """Only config.json knows that the head is not the table."""
    write(tmp_path, without("lm_head.weight")(llama_weights(rng)), LLAMA | {"tie_word_embeddings": False})
    with pytest.raises(models.PretrainedError, match=r"expected lm_head\.weight, since config\.json has tie_word_emb"):
        models.load_pretrained(tmp_path)


@pytest.mark.parametrize("divides", [True, False])
@pytest.mark.parametrize("by_block", [True, False])
def test_scales_of_attention(tmp_path, weights, divides, by_block):
    options = {"scale_attn_weights": divides, "scale_attn_by_inverse_layer_idx": by_block}
    write(tmp_path, weights, CONFIG | options)
    model = models.load_pretrained(tmp_path, dtype=weft.float64)
    scales = [(0.5 if divides else 1) / (i + 1 if by_block else 1) for i in range(2)]
    np.testing.assert_allclose(logits(model), gpt2(weights, TOKENS, 4, scales), rtol=1e-10, atol=1e-12)
    tokens = TOKENS[:3].tolist()
    again = [model.generate(tokens, 4, temperature=0, use_cache=cache) for cache in (True, False)]
    assert again[0] == again[1]


def test_a_dtype_of_integers(tmp_path):
    with pytest.raises(TypeError, match=r"`dtype` must be a real floating-point dtype, such as .*, got int64"):
        models.load_pretrained(tmp_path, dtype=weft.int64)


def test_files(tmp_path, weights, rng):
    with pytest.raises(
        models.PretrainedError, match=r"expected a .safetensors file or a folder, found nothing of that name"
    ):
        models.load_pretrained(tmp_path / "nowhere")
    with pytest.raises(models.PretrainedError, match=r"model.safetensors`: expected a safetensors file, found nothing"):
        models.load_pretrained(tmp_path)
    shard(tmp_path / "shards", weights, CONFIG)
    index = tmp_path / "shards" / "model.safetensors.index.json"
    places = json.loads(index.read_text())["weight_map"]
    places["ln_f.bias"] = places["ln_f.weight"]
    index.write_text(json.dumps({"weight_map": places}))
    with pytest.raises(models.PretrainedError, match=r"expected the tensor ln_f.bias, found none of that name"):
        models.load_pretrained(tmp_path / "shards")
    index.write_text("[]")
    with pytest.raises(models.PretrainedError, match="expected a JSON object, found"):
        models.load_pretrained(tmp_path / "shards")
    index.write_text("{}")
    with pytest.raises(models.PretrainedError, match="expected a `weight_map` from names to files, found None"):
        models.load_pretrained(tmp_path / "shards")
    write(tmp_path / "cut", weights, CONFIG)
    whole = (tmp_path / "cut" / "model.safetensors").read_bytes()
    (tmp_path / "cut" / "model.safetensors").write_bytes(whole[:-10])
    with pytest.raises(models.PretrainedError, match="expected an intact safetensors file"):
        models.load_pretrained(tmp_path / "cut")
    (tmp_path / "cut" / "config.json").write_text("{")
    with pytest.raises(models.PretrainedError, match="expected JSON"):
        models.load_pretrained(tmp_path / "cut")
    (tmp_path / "cut" / "config.json").write_text("[" * 100_000)
    with pytest.raises(models.PretrainedError, match="found JSON that is nested too deeply"):
        models.load_pretrained(tmp_path / "cut")
