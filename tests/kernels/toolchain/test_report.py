"""The table of what kernels take, against one written by hand; and all families compiled side by side."""

import sys

import pytest

from weft.kernels.toolchain import compiler
from weft.kernels.toolchain.report import compile_all, table


@pytest.mark.skipif(sys.platform == "darwin", reason="there is neither CuPy nor NVRTC for macOS")
class TestCompileAll:
    @pytest.fixture
    def folder(self, tmp_path, monkeypatch):
        monkeypatch.setenv("WEFT_CACHE_DIR", str(tmp_path / "cache"))
        for name in "ab":
            (tmp_path / f"{name}.cu").write_text(
                "template <typename T> __global__ void fill(T* x) { x[threadIdx.x] = VALUE; }\n"
            )
        return tmp_path

    def test_everything_once(self, folder):
        families = {"a.cu": (["fill<int>", "fill<float>"], ("-DVALUE=1",)), "b.cu": (["fill<float>"], ("-DVALUE=2",))}
        done = {(source, arch): program for source, arch, program in compile_all(families, ["sm_80", "sm_100"], folder)}
        assert sorted(done) == [("a.cu", "sm_100"), ("a.cu", "sm_80"), ("b.cu", "sm_100"), ("b.cu", "sm_80")]
        for (source, arch), program in done.items():
            assert list(program.names) == families[source][0]
            assert program.path.name.startswith(f"{source[0]}-{arch}-")

    def test_error(self, folder):
        families = {"a.cu": (["fill<int>"], ("-DVALUE=1",)), "b.cu": (["fill<int>"], ())}
        with pytest.raises(
            compiler.CompileError, match=r'`b\.cu` does not compile for sm_80 (?s:.*)"VALUE" is undefined'
        ):
            list(compile_all(families, ["sm_80"], folder))


class TestTable:
    def test_text(self):
        rows = [
            ("b.cu", "sm_100", compiler.Resources("f<float, 1>", 255, 49152, 16, 8, 4)),
            ("b.cu", "sm_90a", compiler.Resources("f<float, 1>", 32, 512)),
            ("b.cu", "sm_90a", compiler.Resources("g", 8)),
            ("a.cu", "sm_100", compiler.Resources("h", 9)),
        ]
        assert [line.rstrip() for line in table(rows).splitlines()] == [
            "                               sm_90a                  sm_100",
            "               regs  smem stack spill  regs  smem stack spill",
            "a.cu",
            "  h                                       9     0     0     0",
            "b.cu",
            "  f<float, 1>    32   512     0     0   255 49152    16    12",
            "  g               8     0     0     0",
        ]

    def test_order_of_rows_does_not_matter(self):
        rows = [(s, a, compiler.Resources("f", 1)) for s in ("a.cu", "b.cu") for a in ("sm_80", "sm_90a", "sm_100")]
        assert table(rows) == table(rows[::-1])
