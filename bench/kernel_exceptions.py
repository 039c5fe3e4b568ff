"""What of the record is beyond the limits that kernels are held to, and why it stays so.

Where bytes are the limit, no kernel's instructions take more than 60 % of their time, and no pipe's lanes hold it up; no line
asks for more than 1.1 times the sectors that its bytes could fill, or of shared memory for more than a cycle a phase. A kernel
that does is here, with the reason. One that is HIDDEN is as fast as a copy of its bytes all the same, by the record's share, of
which every limit is a part: neither L2 nor shared memory nor instructions hold it up. Of a PRODUCT on tensor cores, these or
memory take longer than its instructions. WORK is what a kernel computes, or must compute so: it takes longer than its bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import NamedTuple

__all__ = ["EXCEPTIONS", "LIMITS", "Reason", "beyond", "table", "unexplained"]

Entry = dict[str, float]
LIMITS = {"issue": 0.6, "lanes": 1.0, "sectors": 1.1, "cycles": 1.0}
HIDDEN, PRODUCT, WORK = "hidden", "product", "work"


class Reason(NamedTuple):
    """Why kernels stay beyond a limit: `kernels` are patterns of names in the record; each must be needed."""

    limit: str
    kind: str
    why: str
    kernels: tuple[str, ...]

    def holds(self, entry: Entry) -> bool:
        """Whether the record bears it out."""
        if entry["share"] == 1 or self.kind not in (HIDDEN, PRODUCT):
            return True
        return self.kind == PRODUCT and entry["share"] < round(1 / entry[self.limit], 2)


SUMS = "a second stage, which adds what the first stage's blocks have left"
ROUNDED = "conversion, arithmetic in float and rounding of every number"

EXCEPTIONS = (
    Reason("issue", WORK, SUMS, (
        "*: attention_join<*", "*: channel_statistics<*", "*: running_statistics<*", "*: gradient_means<*", "*: add_partials<*",
        "*: column_totals<*", "*: embedding_join<*", "*: finish_norm", "*: sum_of_weights", "*: sum_of_values<*",
        "*: add_parts<*", "*: sum_partials<*",
    )),
    Reason("issue", WORK, "threads that keep the device busy read the factor, 1, and are done", ("*: scale<*",)),
    Reason("issue", WORK, "Philox's ten rounds of products, which the stream's bits prescribe", (
        "*: dropout<__nv_bfloat16, false, false>", "*: draw<*, Uniform>",
    )),
    Reason("issue", WORK, "16 channels or fewer: 6 to 13 instructions for each product, in whose time six are issued", (
        "conv2d: correlate<*", "conv2d_rgb_small: correlate<*",
    )),
    Reason("issue", WORK, "short rows of scores: maxima, powers and sums between the products take longer than tensor cores", (
        "attention: attention_forward<__nv_bfloat16, *", "attention_in_any_order: attention_forward<__nv_bfloat16, *",
        "attention_128_causal: attention_forward<__nv_bfloat16, *",
    )),
    Reason("issue", PRODUCT, "a matrix product: tensor cores or memory, not instructions, are its limit", (
        "*: attention_forward<__nv_bfloat16, *", "*: attention_backward_query<__nv_bfloat16, *",
        "*: attention_backward_key<__nv_bfloat16, *", "*: correlate<*", "*: weight_parts<*", "*: near_weight_parts<*",
        "conv2d: near_weight_parts<*",
    )),
    Reason("issue", WORK, "a matrix product in float, whose multiply-adds are instructions", (
        "*: attention_forward<float, *", "*: attention_backward_query<float, *", "*: attention_backward_key<float, *",
    )),
    Reason("issue", HIDDEN, "division and square root of IEEE 754, as on a CPU", ("adam: step<__nv_bfloat16, *",)),
    Reason("issue", HIDDEN, ROUNDED, (
        "*: channel_moments<__nv_bfloat16, *", "*: cross_entropy_rows<__nv_bfloat16, *",
        "gelu: activation_backward<__nv_bfloat16, *", "layer_norm: norm_forward<__nv_bfloat16, *",
        "layer_norm: norm_backward<__nv_bfloat16, *", "linear: activation_backward<__nv_bfloat16, *",
        "*: attention_delta<__nv_bfloat16>",
        "*: swiglu<__nv_bfloat16, false>", "*: gru_original_*<*",
    )),
    Reason("issue", WORK, "128 rows: the sum over the block costs more than they do", ("*: activation_backward<*, Identity>",)),
    Reason("issue", HIDDEN, "numbers of 16 bits change places one at a time, or by eights across lanes", (
        "conv2d: few_pixels_last<*", "conv2d_128: few_pixels_last<*",
    )),
    Reason("issue", WORK, "numbers of 16 bits change places one at a time", (
        "conv2d: channel_last<*", "*: few_channels_last<*", "conv2d_rgb_small: few_pixels_last<*",
    )),
    Reason("issue", WORK, "each of nine pixels is compared, and a NaN wins", (
        "*: max_pool_3x3<__nv_bfloat16, *", "*: max_pool_3x3_gradient<__nv_bfloat16, *",
    )),
    Reason("issue", WORK, "a row of windows is no whole access; four positions share a tap's arithmetic, if there are so many", (
        "*: im2col<float>",
    )),
    Reason("issue", HIDDEN, "indices are compared in 64 bits", ("*: first_outside<*",)),
    Reason("sectors", WORK, "rows of windows, of 28 numbers here, are no whole sectors; parts of one meet in L2", (
        "*: max_pool_3x3<*", "*: max_pool_3x3_gradient<*",
    )),
    Reason("lanes", WORK, "comparisons, selections and moves of 16 bits, which half as many lanes do as are issued", (
        "*: max_pool_3x3<__nv_bfloat16, *", "*: max_pool_3x3_gradient<__nv_bfloat16, *",
        "*: max_pool_small<__nv_bfloat16, 3, *", "*: max_pool_small_gradient<__nv_bfloat16, 3, *",
        "*: max_pool_same_gradient<__nv_bfloat16, *", "conv2d: channel_last<*", "*: global_avg_pool_gradient<__nv_bfloat16>",
    )),
    Reason("lanes", WORK, "each maximum is a comparison, in float with two selections: half as many lanes do these as are issued", (
        "*: running_maxima<*", "*: window_maxima<*", "*: max_pool<*",
    )),
    Reason("sectors", HIDDEN, "rows that begin off a sector's edge, or skip pixels, touch sectors more", (
        "*: pixel_pairs<*",
    )),
    Reason("sectors", WORK, "rows that begin off a sector's edge touch sectors more; instructions take longer", (
        "*: few_channels_last<*",
    )),
    Reason("sectors", HIDDEN, "indices are read in the order in which they sort, not in memory's", ("*: embedding_chunks<*",)),
    Reason("sectors", WORK, "of each chunk's 32 positions one is looked at; parts of a sum of 8 columns are read by fours", (
        "*: embedding_join<*",
    )),
    Reason("sectors", WORK, "a second stage, which reads by channel what blocks have left by slice: few bytes", (
        "*: channel_statistics<*", "*: gradient_means<*",
    )),
    Reason("sectors", WORK, "products leave rows in pairs of numbers, as tensor cores hold them", (
        "*: attention_forward<__nv_bfloat16, *", "*: attention_backward_query<__nv_bfloat16, *",
        "*: attention_backward_key<__nv_bfloat16, *",
    )),
    Reason("cycles", WORK, "products in float, whose instructions take longer than its shared memory", (
        "*: attention_backward_key<float, 64, false, false>",
    )),
    Reason("cycles", WORK, "numbers change their order on the way, by an odd pitch", ("*: few_pixels_last<*", "*: add_parts<*")),
    Reason("issue", WORK, "windows of any size and stride: each tap or window is found by itself, 10 to 28 instructions", (
        "*: max_pool<*", "*: max_pool_gradient<*",
    )),
    Reason("issue", WORK, "planes of 49 numbers, which begin anywhere: each moves by itself, 15 to 22 instructions a number", (
        "*: global_avg_pool_gradient<__nv_bfloat16>",
    )),
    Reason("issue", WORK, "what each of nine windows has is added to a pixel or not: 15 instructions of its 33", (
        "*: max_pool_same_gradient<*",
    )),
    Reason("issue", HIDDEN, "nine sums in the order of the windows, for 4 bytes", ("*: avg_pool_same<__nv_bfloat16, *",)),
    Reason("issue", WORK, "600 instructions for a row of ten classes: two exponentials of each, a logarithm, divisions", (
        "*: cross_entropy_few<*",
    )),
    Reason("issue", WORK, "two exponentials of each logit", ("*: cross_entropy_columns<*",)),
    Reason("issue", WORK, "tanh to the last digits is 21 of the 60 instructions for a unit's 8 or 6 bytes", ("*: rnn_forward<*",)),
    Reason("issue", WORK, "windows of any size and stride are walked through one by one, 27 to 42 instructions each", (
        "*: col2im<*",
    )),
    Reason("issue", WORK, "a row of windows is no whole access: numbers of 16 bits move one at a time, 20 instructions each", (
        "*: im2col<__nv_bfloat16>",
    )),
    Reason("issue", WORK, "the weights: 49 numbers in a row, which begin anywhere, fill a tile of 64 and move one at a time", (
        "conv2d_rgb: channel_last<*",
    )),
    Reason("sectors", WORK, "windows overlap, skip pixels or begin off a sector's edge: what a warp reads is no whole sectors", (
        "*: max_pool<*", "*: max_pool_gradient<*", "*: col2im<*", "*: im2col<*",
    )),
    Reason("sectors", WORK, "planes of 49 numbers begin off a sector's edge, and a warp has eight", ("*: global_avg_pool*",)),
    Reason("sectors", WORK, "a pixel's own class lies in a row of its own", ("*: cross_entropy_columns<*",)),
    Reason("sectors", HIDDEN, "the emulator's threads part at a comparison, and count apart; a GPU's code has no branch there", (
        "*: gru_original_gates<*",
    )),
    Reason("sectors", WORK, "windows of few channels, and weights of 49 or 9 numbers, begin off a sector's edge", (
        "conv2d_rgb: weight_parts<*", "conv2d_rgb: channel_last<*", "conv2d_rgb*: add_parts<*",
        "conv2d_rgb_small: correlate<*", "conv2d_rgb_small: near_weight_parts<*",
    )),
    Reason("issue", WORK, "numbers are read from shared memory, added and looped over: 7 to 20 instructions for each", (
        "*: window_means<*", "*: window_means_gradient<*",
    )),
    Reason("issue", WORK, "a warp finds its window, and its lanes' sums meet: 150 instructions beside 586 numbers", (
        "adaptive_avg_pool1d: window_mean<__nv_bfloat16>",
    )),
    Reason("sectors", WORK, "a warp has parts of several rows, and asks for each with others of their sectors", (
        "*: window_means<*", "*: window_means_gradient<*",
    )),
    Reason("cycles", WORK, "windows begin several columns apart, planes whole rows of banks: two to four words to a bank", (
        "*: window_means<*", "*: window_means_gradient<*, false>",
    )),
    Reason("issue", WORK, "hundreds of windows have each pixel, and are added one by one", ("*: window_mean_gradient<*",)),
    Reason("sectors", WORK, "neighbouring pixels begin to be read hundreds of windows apart", ("*: window_mean_gradient<*",)),
    Reason("issue", WORK, "in half precision a pixel's conversion, and what each window does with it, take longer than 2 bytes", (
        "*: *_pool_small<__nv_bfloat16, *", "*: *_pool_small_gradient<__nv_bfloat16, *",
    )),
    Reason("issue", WORK, "a pixel and its place, six or seven comparisons, both told again: 23 instructions, in float 35", (
        "*: running_maxima<*",
    )),
    Reason("issue", WORK, "pixels and places to shared memory and back, eight or more comparisons, whatever the windows", (
        "*: window_maxima<*",
    )),
    Reason("issue", WORK, "two sums for a window, and where each belongs: 30 instructions, and no fewer in registers", (
        "*: window_maxima_gradient<*",
    )),
    Reason("issue", WORK, "a sum for a window, and where it belongs: 17 instructions; it is added to each of 5 pixels or not: 16", (
        "*: narrow_maxima_gradient<*",
    )),
    Reason("issue", WORK, "two sums for a window, the second in each of the rows that it may be in; S² pixels to write", (
        "*: strided_maxima_gradient<*",
    )),
    Reason("cycles", WORK, "sums go to wherever the maximum is, two words apart: two or three of 32 lanes meet in a bank", (
        "*: window_maxima_gradient<*", "*: narrow_maxima_gradient<*", "*: strided_maxima_gradient<*",
    )),
    Reason("sectors", WORK, "rows of 16 numbers, in half precision, and those of tiles are no whole sectors", (
        "*: strided_maxima_gradient<*",
    )),
    Reason("cycles", WORK, "where a row has few windows, lanes that follow each other are in other rows, and meet in a bank", (
        "*: window_maxima<float, *",
    )),
    Reason("sectors", WORK, "rows of 20 numbers begin off a sector's edge, and lanes that follow each other are in other rows", (
        "max_pool2d_13: running_maxima<*", "max_pool2d_13: window_maxima_gradient<*",
    )),
    Reason("sectors", WORK, "lanes read pixels S apart, one after the other: each sector is asked for S times and more, of L1", (
        "*: *_pool_small<*", "*: *_pool_small_gradient<*",
    )),
    Reason("issue", HIDDEN, ROUNDED, ("*: global_avg_pool_of_few<__nv_bfloat16>",)),
    Reason("cycles", HIDDEN, "planes of 49 numbers, of which lanes read two to a bank", ("*: global_avg_pool_of_few<float>",)),
    Reason("cycles", WORK, "rows of ten words meet two to a bank, those of five now and then: instructions take longer", (
        "*: cross_entropy_few<*, false>",
    )),
)  # fmt: skip


def beyond(record: dict[str, Entry]) -> Iterator[tuple[str, str, Reason | None]]:
    """What is above LIMITS: kernel, limit, and the first reason for it."""
    for name, entry in record.items():
        for limit, most in LIMITS.items():
            # lanes that take less than issuing does hold nothing up, and what issuing has a reason for needs no other
            if entry.get(limit, 0) > (max(most, entry["issue"]) if limit == "lanes" else most):
                given = (r for r in EXCEPTIONS if r.limit == limit and any(fnmatchcase(name, k) for k in r.kernels))
                yield name, limit, next(given, None)


def unexplained(record: dict[str, Entry]) -> list[str]:
    """What is beyond a limit without a reason, and reasons that nothing needs or that the record does not bear out."""
    problems, needed = [], set()
    for name, limit, reason in beyond(record):
        entry = record[name]
        if reason is None:
            problems.append(f"{name}: {limit} {entry[limit]}, at most {LIMITS[limit]}")
        elif not reason.holds(entry):
            problems.append(f"{name}: {limit} is not {reason.kind}: {entry['share']:.0%} of a copy")
        needed |= {
            (limit, r.kind, k) for r in EXCEPTIONS if r.limit == limit for k in r.kernels if fnmatchcase(name, k)
        }
    for reason in EXCEPTIONS:
        unused = [k for k in reason.kernels if (reason.limit, reason.kind, k) not in needed]
        problems += [f"{k}: nothing is beyond {reason.limit}, yet it has a reason" for k in unused]
    return problems


def table(record: dict[str, Entry]) -> str:
    """A row for each exception, in Markdown."""
    head = [
        "## Beyond the limits, and why\n",
        "Each kernel whose instructions take more than 60 % of the time of its bytes, whose busiest pipe takes longer than both, "
        "whose worst line asks for more than 1.1 times the fewest sectors, or for more than one cycle a phase of shared memory. "
        "Hidden: no limit but the bytes holds it up; product: tensor cores or memory take longer than its instructions; work: what "
        "it computes takes longer than its bytes, or is prescribed.\n",
        "| case: kernel | limit | found | share of a copy | kind | why |",
        "|---|---|---|---|---|---|",
    ]
    rows = [
        f"| `{name}` | {limit} | {format(record[name][limit], '.0%' if limit in ('issue', 'lanes') else '.3g')} | "
        f"{record[name]['share']:.0%} | {reason.kind} | {reason.why} |"
        for name, limit, reason in beyond(record)
        if reason
    ]
    return "\n".join([*head, *rows]) + "\n"
