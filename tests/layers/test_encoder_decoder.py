"""Translators: teacher forcing, decoding step by step, padding, attention, loss; learning a small task."""

import numpy as np
import pytest

import weft
from weft import optimizers as optim
from weft.layers import models

SIZES = {"source_size": 11, "target_size": 13, "width": 16, "layers": 2, "context": 9}
SOURCE = [[4, 5, 6, 2], [7, 2], [8, 9, 10, 4, 5, 2]]
TARGET = [[1, 4, 5, 2], [1, 6, 7, 8, 9, 2], [1, 2]]


def padded(rows, more=0):
    found = np.zeros((len(rows), max(map(len, rows)) + more), np.int64)
    for i, row in enumerate(rows):
        found[i, : len(row)] = row
    return weft.asarray(found)


def make(name, **more):
    weft.manual_seed(0)
    return models.TRANSLATORS[name](**SIZES, dtype=weft.float64, **more)


@pytest.fixture(params=models.TRANSLATORS)
def model(request):
    return make(request.param).eval()


def test_padding_changes_nothing(model):
    together = model(padded(SOURCE, 2), padded(TARGET, 1)).detach().numpy()
    for i, (source, target) in enumerate(zip(SOURCE, TARGET)):
        alone = model(weft.asarray([source]), weft.asarray([target])).detach().numpy()[0]
        np.testing.assert_allclose(together[i, : len(target)], alone, atol=1e-12)


def test_no_token_sees_later_ones(model):
    target = padded(TARGET)
    before = model(padded(SOURCE), target).detach().numpy()
    target[:, 3:] = 12
    after = model(padded(SOURCE), target).detach().numpy()
    np.testing.assert_allclose(before[:, :3], after[:, :3], atol=1e-12)
    assert np.abs(before[:, 3:] - after[:, 3:]).max() > 1e-3


def test_steps_are_teacher_forcing(model):
    """Row by row in another order at each step, as beam search asks for."""
    target = np.array([[1, 4, 5, 6], [1, 7, 8, 9], [1, 10, 11, 12]])
    expected = model.features(padded(SOURCE), weft.asarray(target)).detach().numpy()
    with weft.no_grad():
        decode = model.start(padded(SOURCE), 4)
        order = np.arange(3)
        for t, rows in enumerate([[0, 1, 2], [2, 1, 0, 2], [1, 3, 0], [0]]):
            order = order[rows]
            found = decode(weft.asarray(target[order, t]), weft.asarray(rows)).numpy()
            np.testing.assert_allclose(found, expected[order, t], atol=1e-12)


def test_loss(model):
    """Mean over what is no padding, of (1 − ε) · −ln p + ε · mean of −ln p."""
    source, target = padded(SOURCE), padded(TARGET)
    z = model(source, target[:, :-1]).detach().numpy()
    log_p = z - np.log(np.exp(z).sum(axis=-1, keepdims=True))
    y = target.numpy()[:, 1:]
    for smoothing in (0.0, 0.1):
        each = -(1 - smoothing) * np.take_along_axis(log_p, y[..., None], 2)[..., 0] - smoothing * log_p.mean(axis=-1)
        found = model.loss(source, target, label_smoothing=smoothing).item()
        assert found == pytest.approx(each[y != 0].mean(), abs=1e-10)


def test_gradients(model):
    """Along a random direction, by central differences."""
    source, target = padded(SOURCE), padded(TARGET)
    model.loss(source, target, label_smoothing=0.1).backward()
    random = np.random.default_rng(0)
    way = {name: random.normal(size=p.shape) for name, p in model.named_parameters()}
    slope = sum((p.grad.numpy() * way[name]).sum() for name, p in model.named_parameters())
    losses = []
    for h in (1e-5, -2e-5):
        for name, p in model.named_parameters():
            p.data += h * way[name]
        losses.append(model.loss(source, target, label_smoothing=0.1).item())
    assert slope == pytest.approx((losses[0] - losses[1]) / 2e-5, rel=1e-5)


def test_attention(model):
    weights = model.attention(padded(SOURCE), padded(TARGET)).detach().numpy()
    assert weights.shape == (3, 6, 6)
    np.testing.assert_allclose(weights.sum(axis=2), 1)
    assert (weights >= 0).all()
    assert (weights[1, :, 2:] == 0).all()


def test_translating(model):
    found = model.translate(SOURCE, beam=3, max_length=5)
    alone = [model.translate([row], beam=3, max_length=5)[0] for row in SOURCE]
    assert [h.tokens for h in found] == [h.tokens for h in alone]
    np.testing.assert_allclose([h.score for h in found], [h.score for h in alone], atol=1e-10)
    assert not {t for h in found for t in h.tokens} & {0, 1, 3}
    for hypothesis, row in zip(found, SOURCE):
        y = hypothesis.tokens
        z = model(weft.asarray([row]), weft.asarray([[1, *y[:-1]]])).detach().numpy()[0]
        log_p = z - np.log(np.exp(z).sum(axis=-1, keepdims=True))
        assert hypothesis.log_probability == pytest.approx(log_p[np.arange(len(y)), y].sum(), abs=1e-10)
    assert model.translate([]) == []
    model.train()
    assert model.translate(SOURCE, beam=3, max_length=5) == found
    assert model.training


@pytest.mark.parametrize("name", models.TRANSLATORS)
def test_the_emulator_computes_the_same(name):
    losses = []
    for device in ("cpu", "emulator"):
        weft.manual_seed(0)
        model = models.TRANSLATORS[name](**SIZES | {"layers": 1}, dropout=0.0, device="cpu").to(device)
        loss = model.loss(padded(SOURCE).to(device), padded(TARGET).to(device), label_smoothing=0.1)
        loss.backward()
        losses.append([loss.item(), *(float(weft.sum(p.grad * p.grad).item()) for p in model.parameters())])
        found = model.translate(SOURCE[:2], beam=2, max_length=3)
        losses[-1] += [h.score for h in found]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-4, atol=1e-7)


def test_captured_steps_have_the_bits_of_eager_ones():
    """Of the Transformer; the LSTM packs its source, for which the host must know the lengths."""

    def losses(wrap):
        weft.manual_seed(0)
        sizes = SIZES | {"layers": 1, "width": 8, "heads": 2}
        model = models.transformer_translator(**sizes, device="emulator")
        optimizer = optim.Adam(model.parameters(), lr=1e-2)

        def step(source, target):
            optimizer.zero_grad()
            loss = model.loss(source, target, label_smoothing=0.1)
            loss.backward()
            optimizer.step()
            return loss

        run = wrap(step)
        batches = [(padded([[4 + i, 5, 2], [6, 2]]), padded([[1, 4, 2], [1, 5 + i, 2]])) for i in range(4)]
        return [run(*(x.to("emulator") for x in batch)).item() for batch in batches]

    assert losses(weft.capture) == losses(lambda step: step)


@pytest.mark.parametrize("name", models.TRANSLATORS)
def test_learns_a_dictionary(name):
    """Each word has its translation, in the same order."""
    weft.manual_seed(1)
    model = models.TRANSLATORS[name](source_size=9, target_size=9, width=32, layers=1, dropout=0.0, context=8)
    optimizer, random = optim.Adam(model.parameters(), lr=5e-3), np.random.default_rng(0)
    for _ in range(150):
        rows = [random.integers(4, 9, random.integers(1, 4)).tolist() for _ in range(16)]
        optimizer.zero_grad()
        targets = [[1, *(4 + t % 5 for t in row), 2] for row in rows]
        loss = model.loss(padded([[*row, 2] for row in rows]), padded(targets))
        loss.backward()
        optimizer.step()
    found = model.translate([[5, 6, 7, 2], [8, 2], [8, 4, 2]])
    assert [h.tokens for h in found] == [
        [4 + 5 % 5, 4 + 6 % 5, 4 + 7 % 5, 2],
        [4 + 8 % 5, 2],
        [4 + 8 % 5, 4 + 4 % 5, 2],
    ]


@pytest.mark.parametrize(
    ("name", "sizes", "message"),
    [
        ("transformer_translator", {"heads": 3}, "`heads` must divide `width`, 16, got 3"),
        ("lstm_translator", {"width": 15}, "`width` must be even, half of it for each direction, got 15"),
        ("lstm_translator", {"target_size": 3}, "`target_size` must be an integer ≥ 4, got 3"),
        ("transformer_translator", {"layers": 0}, "`layers` must be an integer ≥ 1, got 0"),
        ("transformer_translator", {"context": 1}, "`context` must be an integer ≥ 2, got 1"),
        ("transformer_translator", {"heads": 0}, "`heads` must be an integer ≥ 1, got 0"),
    ],
)
def test_models_that_cannot_be(name, sizes, message):
    with pytest.raises(ValueError, match=message):
        models.TRANSLATORS[name](**SIZES | sizes)


def test_calls_that_cannot_be(model):
    with pytest.raises(ValueError, match=r"`source` must be integers of shape \(N, L\), got float32 of shape \(1, 2\)"):
        model(weft.ones((1, 2), dtype=weft.float32), weft.asarray([[1]]))
    with pytest.raises(ValueError, match="`target` must have 1 to 9 tokens, the model's context, got 10"):
        model(weft.asarray([[4, 2]]), weft.ones((1, 10), dtype=weft.int64))
    with pytest.raises(ValueError, match="`sources` must have 1 to 9 tokens each, got 0 in number 1"):
        model.translate([[4, 2], []])
    with pytest.raises(ValueError, match="`sources` must have 1 to 9 tokens each, got 10 in number 0"):
        model.translate([[4] * 10])
    with pytest.raises(
        IndexError, match=r"`sources` must hold tokens in \[0, 11\), the vocabulary, got 11 in number 0"
    ):
        model.translate([[11, 2]])
    with pytest.raises(ValueError, match="`beam` must be at least 1, got 0"):
        model.translate([[4, 2]], beam=0)


@pytest.mark.parametrize("name", models.TRANSLATORS)
def test_arguments_of_another_kind(name):
    model = models.TRANSLATORS[name](**SIZES)
    x, y = weft.tensor([[4, 2], [5, 2]]), weft.tensor([[1, 4, 2]])
    for call in (model, model.features, model.attention):
        with pytest.raises(
            ValueError, match=r"`source` and `target` must have as many rows, got \{'source': 2, 'target': 1\}"
        ):
            call(x, y)
    for sources, error, message in (
        ([[4.5, 2]], TypeError, "`sources` must hold integers, got dtype float64"),
        ("4 2", TypeError, "`sources` must be lists of integers, .* got '4 2'"),
        (np.zeros((1, 1, 2), int), ValueError, r"`sources` must have shape .* got \(1, 1, 2\)"),
    ):
        with pytest.raises(error, match=message):
            model.translate(sources)
    for options, error, message in (
        ({"beam": 1.5}, ValueError, "`beam` must be an integer, got 1.5"),
        ({"length_penalty": "a"}, TypeError, r"`length_penalty` must be in \[0, 10\], got 'a'"),
        ({"length_penalty": 1e308}, ValueError, r"`length_penalty` must be in \[0, 10\], got 1e\+308"),
        ({"max_length": 0}, ValueError, "`max_length` must be an integer ≥ 1, got 0"),
        ({"max_length": "5"}, TypeError, "`max_length` must be an integer ≥ 1, got '5'"),
    ):
        with pytest.raises(error, match=message):
            model.translate([[4, 2]], **options)
