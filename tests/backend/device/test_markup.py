"""What notebooks show: HTML that a parser reads, with no script, no colour of its own, and nothing unescaped."""

from html.parser import HTMLParser

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft import optimizers as optim
from weft.backend.device import markup
from weft.backend.modes import trace as trace_module
from weft.training import Picture, Trainer, plot_history
from weft.training.progress import SHOWN, History

EVIL = "<script>alert('1') & \"2\"</script>"


class Page(HTMLParser):
    """Tags must be closed in order; text is gathered, by cell of a table too."""

    def __init__(self, source):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes, self.rows, self.text = [], [], [], [], ""
        self.feed(source)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.tags.append(tag)
        self.attributes += attrs
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data


def read(thing):
    source = thing._repr_html_()
    assert len(source) < 20_000
    page = Page(source)
    assert {"script", "style", "link", "img"}.isdisjoint(page.tags)
    assert {name for name, _ in page.attributes} <= {"style", "open"}
    for name, value in page.attributes:
        assert name != "style" or not any(word in value for word in ("color", "background", "url", "#"))
    return page


def test_nothing_is_left_unescaped():
    for source in (markup.text(EVIL), markup.code(EVIL), markup.faint(EVIL), markup.table([EVIL], [[EVIL]], [EVIL])):
        page = Page(source)
        assert EVIL in page.text
        assert "script" not in page.tags


class TestTensor:
    def test_values(self):
        page = read(weft.tensor([[1.5, 2.0], [3.0, 4.0]]))
        assert page.text == "Tensor, shape (2, 2), float32, cpu[[1.5, 2. ],\n [3. , 4. ]]"

    @pytest.mark.parametrize("device", ["cpu", "emulator"])
    def test_what_it_is(self, device):
        if device not in weft.devices():
            pytest.skip("the emulator needs a C++ compiler")
        x = weft.ones((100, 100), device=device, requires_grad=True)
        assert f"Tensor, shape (100, 100), float32, {device}, requires grad" in read(x).text
        assert "grad_fn multiply" in read(x * 2).text
        assert "Parameter, shape (2,)" in read(weft.Parameter(weft.ones(2))).text
        assert read(weft.tensor(2.5, device=device)).text.endswith("2.5")
        read(weft.zeros((0, 3)))
        read(weft.tensor([1 + 2j]))


class TestModule:
    def test_tree(self):
        model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Sequential(nn.Linear(4, 2, bias=False)))
        page = read(model)
        assert page.text == (
            "Sequential 24 parameters(0): Linear(in_features=3, out_features=4, bias=True) 16 parameters(1): ReLU() "
            "(2): Sequential 8 parameters(0): Linear(in_features=4, out_features=2, bias=False) 8 parameters"
        )
        assert page.tags.count("details") == 2

    def test_shared_parameters_count_once(self):
        layer = nn.Linear(2, 2)
        assert read(nn.Sequential(layer, layer)).text.startswith("Sequential 6 parameters")

    def test_names_and_extras(self):
        class Own(nn.Module):
            def extra_repr(self):
                return EVIL

        model = nn.Module()
        model.add_module("<b>", Own())
        assert read(model).text == f"Module (<b>): Own({EVIL}) "


class TestSummary:
    def test_table(self):
        model = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
        model.add_module("<i>", nn.Linear(4, 2))
        made = nn.summary(model, (3,))
        page = read(made)
        assert page.rows[0] == ["layer", "output", "parameters", "mult-adds", "sees", "memory"]
        assert [row[0] for row in page.rows[1:]] == ["0 Linear", "1 ReLU", "<i> Linear"]
        assert [row[2] for row in page.rows[1:]] == ["16", "0", "10"]
        assert "parameters: 26" in page.text
        assert all(line.strip() in page.text for line in str(made).splitlines()[-3:])


class TestHistory:
    def test_of_a_trainer(self):
        model = nn.Linear(1, 1)
        trainer = Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1))
        assert "no epoch yet" in read(trainer.history).text
        x = np.ones((4, 1), np.float32)
        history = trainer.fit([(x, x)], epochs=2)
        page = read(history)
        assert page.rows[0][:4] == ["epoch", "step", "lr", "loss"]
        assert [row[0] for row in page.rows[1:]] == ["1", "2"]
        assert float(page.rows[2][3]) == pytest.approx(history[1]["loss"], rel=1e-3)
        trainer.load_state_dict(trainer.state_dict())
        assert read(trainer.history).rows == page.rows
        assert trainer.history == history

    def test_missing_cells_names_and_length(self):
        page = read(History([{"epoch": 1, EVIL: 0.25}, {"epoch": 2, "val_loss": float("nan")}]))
        assert page.rows == [["epoch", EVIL, "val_loss"], ["1", "0.25", ""], ["2", "", "nan"]]
        long = read(History([{"epoch": i} for i in range(1000)]))
        assert len(long.rows) == SHOWN + 1
        assert long.rows[-1] == ["999"]
        assert f"the last {SHOWN} of 1000 epochs" in long.text


class TestProfile:
    def test_table(self):
        with weft.profile() as p:
            weft.exp(weft.ones(2))
        page = read(p)
        assert page.rows[0] == ["operation", "calls", "forward", "backward", "share", "results"]
        assert page.rows[1][:2] == ["exp", "1"]
        assert [row[0] for row in page.rows[2:]] == ["elsewhere", "in all"]
        assert all(cell in str(p) for row in page.rows for cell in row)
        p.peak_memory = 2048
        assert "at most 2.0 KiB in tensors" in read(p).text


class TestTrace:
    def test_a_graph_unless_it_is_large(self):
        trace = weft.traced(lambda x: weft.exp(x) + 1, weft.ones(3))
        assert trace._repr_svg_() == trace.to_svg()

        def many(x):
            for _ in range(trace_module.DRAWN + 1):
                x = weft.exp(-x)
            return x

        assert weft.traced(many, weft.ones(3))._repr_svg_() is None


class TestPicture:
    def test_of_what_draws(self, tmp_path):
        pytest.importorskip("matplotlib")
        shown = plot_history([{"epoch": 1, "loss": 0.5}], tmp_path / "a.png")
        assert shown._repr_png_() == (tmp_path / "a.png").read_bytes()
        assert shown._repr_png_()[1:4] == b"PNG"
        assert repr(shown) == f"Picture({str(tmp_path / 'a.png')!r})"
        assert Picture(tmp_path / "nowhere.png")._repr_png_() is None
        with pytest.raises(TypeError, match="`path` must be a path, such as 'runs/one', got 3"):
            Picture(3)
