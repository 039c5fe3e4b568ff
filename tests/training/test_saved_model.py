"""A model that was saved predicts what it predicted before, from raw inputs, with nothing but its file."""

import json
import re

import numpy as np
import pytest
from forged import ARCHITECTURE as SMALL

import weft
from weft import layers as nn
from weft.data import MinMax, PerChannel
from weft.layers.models import LANGUAGE_MODELS, MODELS, SHAPES
from weft.training import CheckpointError, SavedModel, build_model, load_model, model_state, save_checkpoint, save_model

ARCHITECTURE = {"name": "mlp", "input_shape": [1, 4, 4], "num_classes": 3, "hidden": [5]}
IMAGES = np.random.default_rng(0).integers(0, 256, (20, 1, 4, 4)).astype(np.uint8)
NAMES = ("cat", "dog", "fox")


@pytest.fixture
def model():
    weft.manual_seed(0)
    return build_model(ARCHITECTURE)


@pytest.fixture
def path(tmp_path, model):
    path = tmp_path / "model.safetensors"
    normalizer = PerChannel().fit(IMAGES)
    save_model(path, model, architecture=ARCHITECTURE, normalizer=normalizer, class_names=NAMES, info={"accuracy": 0.5})
    return path


def own(name):
    """Sizes that recurrent language models do not have."""
    return {} if name in ("lstm", "gru") else {"context": 6, "heads": 2}


class TestRoundTrip:
    def test_predicts_the_same(self, path, model):
        with weft.no_grad():
            expected = model.eval()(weft.asarray(PerChannel().fit(IMAGES)(IMAGES))).numpy()
        saved = load_model(path)
        np.testing.assert_array_equal(saved.predict(IMAGES), expected)
        np.testing.assert_array_equal(saved.predict([IMAGES[:7], IMAGES[7:]]).argmax(1), expected.argmax(1))
        assert saved.predict_names(IMAGES) == [NAMES[i] for i in expected.argmax(1)]
        np.testing.assert_allclose(saved.predict_probabilities(IMAGES).sum(1), 1)
        assert saved.info == {"accuracy": 0.5}
        assert not saved.model.training

    def test_json_beside_it(self, path):
        readable = json.loads(path.with_suffix(".json").read_text())
        assert readable["architecture"] == ARCHITECTURE
        assert readable["class_names"] == list(NAMES)
        assert readable["weights"]["1.weight"] == "float32 (5, 16)"
        assert readable["normalizer"] == "PerChannel()"

    def test_normalizer_with_options(self, tmp_path, model):
        normalizer = MinMax((-1, 1)).fit(IMAGES)
        save_model(tmp_path / "m", model, architecture=ARCHITECTURE, normalizer=normalizer)
        np.testing.assert_array_equal(load_model(tmp_path / "m").normalizer(IMAGES), normalizer(IMAGES))

    def test_own_model(self, tmp_path):
        weft.manual_seed(3)
        save_model(tmp_path / "m.safetensors", nn.Linear(2, 2))
        other = load_model(tmp_path / "m.safetensors", nn.Linear(2, 2))
        weft.manual_seed(3)
        assert other.model.weight.tolist() == nn.Linear(2, 2).weight.tolist()
        assert other.normalizer is None
        assert other.class_names == ()

    def test_from_a_checkpoint(self, tmp_path, model):
        save_checkpoint(tmp_path / "c", {"epoch": 3, **model_state(model, architecture=ARCHITECTURE)})
        assert load_model(tmp_path / "c").model[1].weight.tolist() == model[1].weight.tolist()


class TestClassNames:
    """One for each class, as far as the model tells how many it has."""

    REFUSED = [
        (("a", "b"), "must name the 3 classes of the model, got 2 names: ('a', 'b')"),
        (tuple("abcd"), "must name the 3 classes of the model, got 4 names"),
        ("abc", "must be a list of words, such as ['cat', 'dog'], got 'abc'"),
        ((0, 1, 2), "must be a list of words, such as ['cat', 'dog'], got (0, 1, 2)"),
        (("a", "b", "a"), "must be different, got 'a' twice"),
        (None, "must be a list of words, such as ['cat', 'dog'], got None"),
    ]

    @pytest.mark.parametrize(("names", "message"), REFUSED)
    def test_refused(self, tmp_path, model, names, message):
        own = nn.Sequential(nn.Linear(4, 3), nn.Sequential(nn.Dropout(), nn.Softmax(1)))
        for call in (
            lambda: save_model(tmp_path / "m", model, architecture=ARCHITECTURE, class_names=names),
            lambda: save_model(tmp_path / "m", nn.Linear(2, 3), class_names=names),
            lambda: model_state(nn.Sequential(nn.Linear(4, 3), nn.Dropout(), nn.Softmax(1)), class_names=names),
            lambda: SavedModel(nn.Linear(2, 3), class_names=names),
        ):
            with pytest.raises((TypeError, ValueError), match=re.escape(f"`class_names` {message}")):
                call()
        assert not list(tmp_path.iterdir())
        save_model(tmp_path / "m", own)

    def test_one_score(self):
        assert SavedModel(nn.Linear(2, 1), class_names=("no", "yes")).predict_names(np.ones((3, 2), np.float32))
        with pytest.raises(
            ValueError, match="must name the 2 classes of the model, which its one score tells apart, got 1"
        ):
            SavedModel(nn.Linear(2, 1), class_names=("yes",))

    def test_in_a_file(self, tmp_path):
        state = model_state(nn.Linear(2, 3)) | {"class_names": ["a", "b"]}
        save_checkpoint(tmp_path / "m", state, kind="model")
        with pytest.raises(
            CheckpointError, match="found that `class_names` must name the 3 classes of the model, got 2"
        ):
            load_model(tmp_path / "m", nn.Linear(2, 3))

    def test_a_class_without_a_name(self):
        """Where the model does not tell how many it has."""
        for names in ((), ("a", "b")):
            saved = SavedModel(nn.Identity(), class_names=names)
            with pytest.raises(
                ValueError, match=f"must name every class, got {len(names)} names and class 2; give them"
            ):
                saved.predict_names(np.eye(3))


class TestErrors:
    def test_unknown_architecture(self):
        with pytest.raises(ValueError, match=re.escape(f"must be one of {sorted(SHAPES)}, got 'vgg'")):
            build_model({"name": "vgg"})

    def test_weights_alone(self, tmp_path, model):
        save_model(tmp_path / "m", model)
        with pytest.raises(
            CheckpointError, match=r"m`: expected a model and all that it needs, found that it holds weights alone"
        ):
            load_model(tmp_path / "m")

    def test_other_shape(self, tmp_path, model):
        save_model(tmp_path / "m", model)
        with pytest.raises(
            CheckpointError, match=r"found that .*1\.weight must have \(7, 16\), got \(5, 16\)"
        ) as caught:
            load_model(tmp_path / "m", build_model({**ARCHITECTURE, "hidden": [7]}))
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("change", [{"name": "vgg"}, {"unknown": 1}])
    def test_architecture_that_cannot_be_built(self, tmp_path, model, change):
        save_model(tmp_path / "m", model, architecture={**ARCHITECTURE, **change})
        with pytest.raises(CheckpointError, match=r"expected a model and all that it needs, found that"):
            load_model(tmp_path / "m")

    def test_unfit_normalizer(self, tmp_path, model):
        state = {
            **model_state(model, architecture=ARCHITECTURE),
            "normalizer": {"config": {"normalizer": "None"}, "state": {}},
        }
        save_checkpoint(tmp_path / "m", state, kind="model")
        with pytest.raises(CheckpointError, match=r"found that `normalizer` must be one of"):
            load_model(tmp_path / "m")

    def test_missing(self, tmp_path):
        with pytest.raises(CheckpointError, match=r"found nothing of that name"):
            load_model(tmp_path / "m")


class TestLies:
    """What a kilobyte of JSON claims is not built."""

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (
                {"hidden": [10**12]},
                r"`1\.weight` of such an architecture must have shape \(1000000000000, 4\), got \(5, 4\)",
            ),
            ({"hidden": [5] * 10**5}, r"`3\.weight` of such an architecture must have shape \(5, 5\), got \(3, 5\)"),
            ({"num_classes": 10**12}, r"`3\.weight` .* must have shape \(1000000000000, 5\), got \(3, 5\)"),
            ({"input_shape": [10**6, 10**6]}, r"must have shape \(5, 1000000000000\), got \(5, 4\)"),
            ({"input_shape": "abcd"}, r"`mlp` has no such arguments: {'input_shape': 'abcd'"),
            ({"name": "cnn"}, r"`cnn` has no such arguments: {'input_shape': \[4\]"),
            ({"name": ["mlp"]}, "`name` of the architecture must be one of"),
            ({"device": "cuda"}, "`mlp` has no such arguments: "),
        ],
    )
    def test_architectures(self, tmp_path, change, message):
        model = build_model(SMALL)
        state = model_state(model, architecture=SMALL | change)
        save_checkpoint(tmp_path / "m", state, kind="model")
        with pytest.raises(
            CheckpointError, match=rf"^`.*m`: expected a model and all that it needs, found that .*{message}"
        ):
            load_model(tmp_path / "m")

    @pytest.mark.parametrize("name", MODELS)
    def test_shapes_are_those_that_are_built(self, name):
        arguments = {"input_shape": (2, 9, 12), "num_classes": 7} | ({"hidden": (3, 5)} if name == "mlp" else {})
        built = {key: t.shape for key, t in build_model({"name": name, **arguments}).state_dict().items()}
        shapes = SHAPES[name](**arguments)
        assert shapes == {key: built[key] for key in shapes}
        other = build_model({"name": name, **arguments | {"input_shape": (3, 16, 16), "num_classes": 8}}).state_dict()
        assert {key for key, t in other.items() if key.endswith("weight") and t.shape != built[key]} <= shapes.keys()

    @pytest.mark.parametrize("name", LANGUAGE_MODELS)
    def test_shapes_of_language_models(self, name, tmp_path):
        arguments = {"vocab_size": 5, "width": 8, "layers": 2, **own(name)}
        model = build_model({"name": name, **arguments})
        built = {key: t.shape for key, t in model.state_dict().items()}
        shapes = SHAPES[name](**arguments)
        assert shapes == {key: built[key] for key in shapes}
        for change in ({"vocab_size": 10**12}, {"width": 10**9}, {"layers": 10**9}, {"size": "vast"}, {"width": "8"}):
            forged = {"name": name, **arguments, **change}
            save_checkpoint(tmp_path / "m", model_state(model, architecture=forged), kind="model")
            with pytest.raises(CheckpointError, match=r"must have shape|no such arguments|must be one of"):
                load_model(tmp_path / "m")

    @pytest.mark.parametrize("name", LANGUAGE_MODELS)
    def test_shapes_of_language_models_are_those_that_are_built(self, name):
        sizes = {"vocab_size": 7, "width": 8, "layers": 2, **own(name)}
        built = {key: t.shape for key, t in build_model({"name": name, **sizes}).state_dict().items()}
        shapes = SHAPES[name](**sizes)
        assert shapes == {key: built[key] for key in shapes}
        for change in ({"width": 12}, {"layers": 3}, {"vocab_size": 8}, {"layers": 10**12}):
            assert not SHAPES[name](**sizes | change).items() <= built.items()

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"class_names": "abc"}, r"`class_names` must be a list of words, such as \['cat', 'dog'\], got 'abc'"),
            ({"info": [1]}, r"`info` must be a dictionary, got \[1\]"),
            ({"model": [1]}, r"`model` must be a dictionary, got \[1\]"),
            ({"model": {"1.weight": 5}}, r"`model\.1\.weight` must be an array, got 5"),
            ({"normalizer": {"config": {"normalizer": "Standardize"}}}, "it has no entry 'state'"),
            ({"normalizer": {"config": {"normalizer": "Robust"}, "state": {"center": np.array([np.nan]), "scale": np.ones(1)}}},
             "`center` of the normalizer must be finite"),
        ],
    )  # fmt: skip
    def test_kinds(self, tmp_path, change, message):
        state = model_state(build_model(SMALL), architecture=SMALL) | change
        save_checkpoint(tmp_path / "m", state, kind="model")
        with pytest.raises(
            CheckpointError, match=rf"^`.*m`: expected a model and all that it needs, found that {message}"
        ):
            load_model(tmp_path / "m")
