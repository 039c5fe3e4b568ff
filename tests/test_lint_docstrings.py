"""The check of docstrings sees what it should."""

import pytest

import weft

pytest.importorskip("numpydoc", reason="needs the extra `dev`")

import lint_docstrings  # tests/ is on the path


def scaled(x, factor=2.0):
    """Multiply.

    Parameters
    ----------
    x : Tensor
        What is scaled.

    Returns
    -------
    Tensor
        Of the shape of `x`.
    """
    return x * factor


class Base:
    def forward(self):
        """Documented here, once."""

    @classmethod
    def new(cls):
        """Make one."""

    @property
    def size(self):
        return 0


class Derived(Base):
    def forward(self):
        return 1

    def _private(self):
        return 1


def test_faults():
    found = lint_docstrings.faults("scaled", scaled, {*lint_docstrings.CODES, lint_docstrings.EXAMPLE})
    assert found == ["scaled: PR01 Parameters {'factor'} not documented", "scaled: EX01 No examples section found"]
    assert [line.split()[1] for line in lint_docstrings.faults("size", Base.size, lint_docstrings.CODES)] == ["GL08"]


def test_methods_are_those_that_a_class_is_first_to_define():
    assert dict(lint_docstrings.methods(Base)) == {"forward": Base.forward, "new": Base.new.__func__, "size": Base.size}
    assert not dict(lint_docstrings.methods(Derived))


def test_what_is_public():
    names = {name for module in lint_docstrings.MODULES for name, _ in lint_docstrings.shown(module)}
    assert {"weft.exp", "weft.Tensor", "weft.linalg.qr", "weft.layers.Linear", "weft.training.Trainer"} <= names
    assert not names & {"weft.float32", "weft.layers", "weft.annotations"}
    assert len(names) > 400


@pytest.mark.parametrize(("value", "status"), [(scaled, 1), (weft.DeviceError, 0)])
def test_exit_status(monkeypatch, capsys, value, status):
    monkeypatch.setattr(lint_docstrings, "shown", lambda module: iter([(f"{module}.thing", value)]))
    assert lint_docstrings.main(["weft.data"]) == status
    out, err = capsys.readouterr()
    assert ("weft.data.thing: PR01" in out) == bool(status)
    assert f"{1 - status} of    1 clean" in err
