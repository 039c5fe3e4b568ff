"""A pytest plugin: with pytest-xdist, of a test that passed its worker sends one message, not five, and looks for garbage less.

Most tests take two or three milliseconds; messages to the process that reports, which each wakes, took one more of the two
processes together. And where fifty thousand collected tests may be garbage, looking for it takes half a second.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

SHORT = 0.005  # seconds, of what `--durations` leaves out


def is_news(report: pytest.TestReport) -> bool:
    """Whether anybody wants the report: every outcome, and of fixtures what failed, took its time or has something to say."""
    is_quiet = report.passed and report.duration < SHORT and not report.sections and not report.user_properties
    return report.when == "call" or not is_quiet


class Terse:
    """The hook of a worker."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool:
        for report in runtestprotocol(item, log=False, nextitem=nextitem):
            if is_news(report):
                item.ihook.pytest_runtest_logreport(report=report)
        if nextitem is None:  # what ends the line of dots
            item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[Any]:
    """What collecting leaves lives until the end: the garbage collector need not look at it then, nor now."""
    gc.disable()
    try:
        return (yield)
    finally:
        settle()
        gc.enable()


def settle() -> None:
    """What is no garbage by now stays, and is not looked at again: the modules and caches that tests leave behind."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[Any]:
    """After the last test of each file. Many tests of captured steps and of benchmarks collect all garbage there is."""
    outcome = yield
    if nextitem is not None and nextitem.path != item.path:
        settle()
    return outcome


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput") and not config.option.xmlpath:  # that file wants all of them
        config.pluginmanager.register(Terse())
