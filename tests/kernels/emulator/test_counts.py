"""What is told of counts, by hand; `test_counters.py` has what is counted."""

from types import SimpleNamespace

from weft.kernels.emulator.counts import Counts, Launch

SCATTERED = Counts("a.cu", 3, "global", "read", 4, 2, 64, 256, sectors=64, ideal=8, lines=64)
TOGETHER = Counts("a.cu", 4, "global", "write", 4, 2, 64, 256, sectors=8, ideal=8, lines=2)
CONFLICTS = Counts("a.cu", 5, "shared", "read", 4, 3, 96, 384, phases=3, cycles=12, worst=8)
NOTHING = Counts("a.cu", 6, "shared", "read", 4, 0, 0, 0)
LAUNCH = Launch(
    SimpleNamespace(expression="f<float>"), (1, 1, 1), (64, 1, 1), 0, (TOGETHER, SCATTERED, CONFLICTS), {}, frozenset(),
    read=1256, written=256, sectors_read=40, sectors_written=8,
)  # fmt: skip


def test_excess():
    assert [c.excess for c in (SCATTERED, TOGETHER, CONFLICTS, NOTHING)] == [8, 1, 4, 1]
    assert LAUNCH.wasteful() == [SCATTERED, CONFLICTS]
    assert LAUNCH.wasteful(4) == [SCATTERED]


def test_those_that_ask_most_come_first():
    assert LAUNCH.of("global") == [SCATTERED, TOGETHER]
    assert LAUNCH.of("shared") == [CONFLICTS]


def test_what_is_shown():
    head, *lines = str(LAUNCH).splitlines()
    assert head == "f<float>: 1,256 bytes read, 256 written"
    assert [line.split(maxsplit=1)[0] for line in lines] == ["a.cu:3", "a.cu:4", "a.cu:5"]
    assert lines[0].endswith("global read     4 B          2 requests  32 sectors per request, 4 ideal")
    assert lines[2].endswith("shared read     4 B          3 requests  4 cycles per phase, 8 at most")
