"""What holds parameters: names as in PyTorch, and the behaviour of lists and dicts."""

import copy
from collections import OrderedDict

import pytest

import weft
from weft import layers as nn


class Model(nn.Module):
    def __init__(self):
        self.list = nn.ParameterList([weft.ones(2), nn.Parameter([1.0])])
        self.dict = nn.ParameterDict({"b": weft.ones(3), "a": weft.ones(4)})


def test_they_are_found():
    model = Model()
    assert list(model.state_dict()) == ["list.0", "list.1", "dict.a", "dict.b"]
    assert [p.shape for p in model.parameters()] == [(2,), (1,), (4,), (3,)]
    other = copy.deepcopy(model).double()
    other.load_state_dict(model.state_dict())
    assert other.list[0].dtype == weft.float64
    assert other.list[0] is not model.list[0]


class TestParameterList:
    def test_as_a_list(self):
        p = [nn.Parameter([float(i)]) for i in range(4)]
        held = nn.ParameterList(p[:2])
        held += p[2:3]
        held.append(p[3]).extend(["text"])
        assert len(held) == 5
        assert held[-2] is p[3]
        assert list(held)[4] == "text"
        assert [q.item() for q in held[1:3]] == [1.0, 2.0]
        assert isinstance(held[:2], nn.ParameterList)
        held[0] = weft.tensor([7.0])
        assert isinstance(held[0], nn.Parameter)
        assert "(4): Object of type: str" in repr(held)
        assert "(0): Parameter containing: [float32 of size 1]" in repr(held)

    def test_what_is_refused(self):
        held = nn.ParameterList([weft.ones(1)])
        with pytest.raises(IndexError, match=r"`index` must be in \[-1, 1\), got 1"):
            held[1]
        with pytest.raises(
            TypeError, match="`values` must be an iterable of Parameters, got Tensor; put it into a list"
        ):
            held.extend(weft.ones(3))
        with pytest.raises(RuntimeError, match="`ParameterList` must not be called"):
            held(weft.ones(1))


class TestParameterDict:
    def test_as_a_dict(self):
        held = nn.ParameterDict(OrderedDict(b=weft.ones(1), a=weft.ones(2)))
        assert held.keys() == ["b", "a"]
        assert list(reversed(held)) == ["a", "b"]
        held["c"] = 5
        assert held.setdefault("d", weft.ones(3)) is held["d"]
        assert held.get("e") is None
        assert len(held) == 4
        assert "c" in held
        assert held.pop("c") == 5
        assert held.popitem()[0] == "d"
        both = held | {"z": weft.zeros(1)}
        assert both.keys() == ["b", "a", "z"]
        assert both["a"] is held["a"]
        assert ({"y": weft.zeros(1)} | held).keys() == ["y", "b", "a"]
        held |= {"x": weft.zeros(1)}
        assert held.copy().keys() == ["b", "a", "x"]
        assert held.fromkeys(["q"], 1).items() == [("q", 1)]
        del held["x"]
        held.clear()
        assert not len(held)
        assert not list(held.parameters())

    def test_what_is_refused(self):
        held = nn.ParameterDict([("a", weft.ones(1))])
        with pytest.raises(KeyError, match=r"`key` must be one of \['a'\], got 'b'"):
            held["b"]
        with pytest.raises(TypeError, match="`key` must be a str, got int"):
            held[1] = weft.ones(1)
        with pytest.raises(KeyError, match="must not be that of a method or attribute of ParameterDict, got 'keys'"):
            held["keys"] = weft.ones(1)
        with pytest.raises(KeyError, match=r"`key` must have no dot and not be empty, got 'a\.b'"):
            held["a.b"] = weft.ones(1)
        with pytest.raises(TypeError, match=r"`parameters` must be a dict or pairs \(name, value\), got int"):
            held.update(3)
        with pytest.raises(RuntimeError, match="`ParameterDict` must not be called"):
            held()


def test_the_deprecated_container():
    with pytest.warns(FutureWarning, match="`Container` is deprecated"):
        net = nn.Container(a=nn.Linear(1, 2), b=nn.ReLU())
    assert [name for name, _ in net.named_children()] == ["a", "b"]
