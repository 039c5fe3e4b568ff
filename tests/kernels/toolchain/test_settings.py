"""The settings that recordings depend on."""

from weft.kernels.toolchain.settings import current, settings


def test_each_setting_is_in_the_key(monkeypatch):
    before = current()
    for name, value in vars(settings).items():
        with monkeypatch.context() as patch:
            patch.setattr(settings, name, object())
            assert current() != before, f"{name}, which is {value!r}"
    assert current() == before
    assert hash(before) == hash(current())
