"""Headers of safetensors files that lie, each in another way."""

import pytest

from weft.training import CheckpointError, load_checkpoint


@pytest.mark.parametrize(
    ("header", "data", "message"),
    [
        ('{"a":{"dtype":"F4","shape":[4],"data_offsets":[0,2]}}', b"ab", "a safetensors file of another program"),
        ('{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,2]}}', b"ab", "a safetensors file of another program"),
        ('{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}', bytes(8), "`a` at 4 … 8, where 0 is the next byte"),
        ('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"b":1}}', bytes(4), "no dtype, shape and data_offsets for `a`"),
        ('{"a":{"dtype":"F32","shape":[true],"data_offsets":[0,4]}}', bytes(4), "no dtype, shape and data_offsets for `a`"),
        ('{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}', bytes(5), "3 bytes too many"),
        ('{"a":{},"a":{}}', b"", "JSON with the key 'a' twice"),
        ('{"__metadata__":{"format":1}}', b"", "metadata that are not strings"),
        ('{"a":' + "[" * 50_000, b"", "JSON that is nested too deeply"),
        ('{"a":\xff', b"", "can't decode"),
        ('{"__metadata__":{"format":"weft","version":"1"},"a":{"dtype":"F4","shape":[4],"data_offsets":[0,2]}}', b"ab",
         "expected a tensor `a` of a dtype that NumPy has, found F4"),
        ('{"__metadata__":{"format":"weft","version":"1"},"a":{"dtype":"F32","shape":[4],"data_offsets":[0,2]}}', b"ab",
         r"`a` of shape \(4,\) in 2 bytes"),
        ('{"__metadata__":{"format":"weft","version":"1"},"a":{"dtype":"U8","shape":[-1,-2],"data_offsets":[0,2]}}', b"ab",
         r"`a` of shape \(-1, -2\) in 2 bytes"),
        ('{"__metadata__":{"format":"weft","version":"1"},"a":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}}', b"\1\2",
         "`a`: bytes that are neither true nor false"),
    ],
)  # fmt: skip
def test_headers(tmp_path, header, data, message):
    content = header.encode("latin-1")
    (tmp_path / "t").write_bytes(len(content).to_bytes(8, "little") + content + data)
    with pytest.raises(CheckpointError, match=rf"^`.*t`: .*{message}"):
        load_checkpoint(tmp_path / "t")
