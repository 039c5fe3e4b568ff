"""The expansion of includes, against texts written out by hand."""

import re
import shutil

import pytest

from weft.kernels.toolchain import sources


@pytest.fixture
def write(tmp_path):
    def write(name, *lines):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")

    return write


def located(text):
    """(file, line, text) of every line, as a compiler counts."""
    file, line = None, None
    for content in text.splitlines():
        if directive := re.fullmatch(r'#line (\d+) "(.*)"', content):
            line, file = int(directive[1]), directive[2]
        else:
            yield file, line, content
            line += 1


class TestExpand:
    def test_text(self, tmp_path, write):
        write("a.cu", "// a", '#include "b.cuh"', "int a;")
        write("b.cuh", "#pragma once", "#include <cuda_fp16.h>", "int b;  // β")
        assert sources.expand("a.cu", tmp_path).splitlines() == [
            '#line 1 "a.cu"',
            "// a",
            '#line 1 "b.cuh"',
            "",
            "#include <cuda_fp16.h>",
            "int b;  // β",
            '#line 3 "a.cu"',
            "int a;",
        ]

    def test_each_file_once(self, tmp_path, write):
        write("a.cu", '#include "b.cuh"', '  #  include "c.cuh"', '#include "sub/d.h"', '#include "b.cuh"', "int a;")
        write("b.cuh", "#pragma once", '#include "c.cuh"', "int b;")
        write("c.cuh", "#pragma once", '#include "b.cuh"', "int c;")  # a circle, which `#pragma once` breaks
        write("sub/d.h", '#include "../c.cuh"', '#include "e.h"', "int d;")
        write("sub/e.h", "int e;")
        text = sources.expand("a.cu", tmp_path)
        assert re.findall(r"int (\w);", text) == ["c", "b", "e", "d", "a"]
        assert '#line 1 "sub/e.h"' in text
        assert str(tmp_path) not in text

    def test_lines_are_those_of_the_files(self, tmp_path, write):
        files = {
            "a.cu": ["// a", '#include "b.cuh"', '#include "b.cuh"', "", "int a;"],
            "b.cuh": ["#pragma once", '#include "c.cuh"', "int b;"],
            "c.cuh": ["int c;", "int d;"],
        }
        for name, lines in files.items():
            write(name, *lines)
        seen = list(located(sources.expand("a.cu", tmp_path)))
        for file, line, content in seen:
            assert content == ("" if "pragma" in files[file][line - 1] else files[file][line - 1])
        assert len(seen) == sum(map(len, files.values())) - 3  # the includes

    def test_missing(self, tmp_path, write):
        write("a.cu", "", '#include "b.cuh"')
        message = f"`b.cuh` must be a CUDA source in {tmp_path} (included by a.cu:2), but there is no such file"
        with pytest.raises(sources.SourceError, match=re.escape(message)):
            sources.expand("a.cu", tmp_path)
        with pytest.raises(sources.SourceError, match=re.escape(f"`c.cu` must be a CUDA source in {tmp_path}, but")):
            sources.expand("c.cu", tmp_path)
        mine = tmp_path / "mine.cu"
        with pytest.raises(
            sources.SourceError, match=re.escape(f"`{mine}` must be a CUDA source, but there is no such")
        ):
            sources.expand(str(mine))

    def test_the_kernels(self):
        for path in sources.FOLDER.glob("*.cu"):
            text = sources.expand(path.name)
            assert '#line 1 "common.cuh"' in text
            assert '#include "' not in text

    def test_the_same_wherever_the_package_lies(self, tmp_path, monkeypatch):
        """Those beside the kernels, too, which have absolute paths for names: a cubin that was carried is found by its text."""

        def texts():
            beside = sorted((sources.FOLDER.parent / "bench").glob("*.cu"))
            assert beside
            return [sources.expand(str(path)) for path in beside]

        here, package = texts(), sources.FOLDER.parent
        for folder in ("kernels", "bench"):
            shutil.copytree(
                package / folder, tmp_path / "there" / folder, ignore=shutil.ignore_patterns("*.py*", "results")
            )
        (tmp_path / "link").symlink_to(tmp_path / "there")
        for folder in ("there", "link"):
            monkeypatch.setattr(sources, "FOLDER", tmp_path / folder / "kernels")
            assert texts() == here

    def test_ones_own(self, tmp_path, write):
        """Its whole path is what one looks for in a message."""
        write("mine.cu", '#include "common.cuh"', "int a;")
        assert sources.expand(str(tmp_path / "mine.cu")).startswith(
            f'#line 1 "{tmp_path}/mine.cu"\n#line 1 "common.cuh"\n'
        )
