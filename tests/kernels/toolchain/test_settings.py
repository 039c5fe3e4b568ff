"""The settings that recordings depend on."""

import contextlib

from weft.kernels.toolchain.settings import current, multiprocessors, settings


def test_each_setting_is_in_the_key(monkeypatch):
    before = current()
    for name, value in vars(settings).items():
        with monkeypatch.context() as patch:
            patch.setattr(settings, name, object())
            assert current() != before, f"{name}, which is {value!r}"
    assert current() == before
    assert hash(before) == hash(current())


def test_multiprocessors():
    """Also where what is within raises."""
    before = settings.multiprocessors
    with contextlib.suppress(KeyError), multiprocessors(3):
        assert settings.multiprocessors == 3
        raise KeyError
    assert settings.multiprocessors == before
