#!/usr/bin/env bash
# All that only a GPU can tell, in eight minutes, in the order of what is learnt:
#
#     bench/gpu.sh --pack FOLDER      before, where there is no GPU: cubins compiled by NVRTC 13.0, which a driver of its
#                                     generation takes, and the list of tests that launch each kernel once
#     bench/gpu.sh OUT [WHEELS]       there: installs the wheels in the folder WHEELS, if given, offline, and measures
#     bench/gpu.sh --dry-run OUT      what that would do, and for how long at most
#
# First whether the driver loads every kernel, whether embeddings and cuBLAS can be recorded, what a launch costs
# (bench/first_minutes.py); then one test for each kernel; kernels beside PyTorch; models; compute-sanitizer (where it is
# found) over tiny sizes; and with the time that is left the other tests marked `gpu`, and torch.compile's part.
# A step that fails stops nothing, and each result is a line of OUT/summary.txt, of a log or of gpu.json as soon as it is
# there, so that a machine that is taken away takes nothing along. An interrupt stops the step, too. A second start with the same
# OUT says what is there, leaves out the tests that went well, and goes on with gpu.json.
#
# Environment: PYTHON (python3), PACKED (the folder that was packed), ARCH (sm_90a, to be packed for), WEFT_MNIST (a folder of
# MNIST's idx files, to be trained on), WEFT_SECONDS (470, for all), DEVICE (cuda; "emulator" rehearses without a GPU).
set -u
usage() { sed -n '2,/^set/{/^#/p;}' "$0"; exit "$1"; }
mode=run
case ${1:-} in --pack) mode=pack; shift ;; --dry-run) mode=dry; shift ;; esac
case ${1:--} in -h | --help) usage 0 ;; -*) usage 2 ;; esac
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=$(type -P "${PYTHON:-python3}") || { printf 'PYTHON must be an interpreter, got %s\n' "${PYTHON:-python3}" >&2; exit 2; }
python=$(cd "$(dirname "$python")" && pwd)/$(basename "$python") # what follows runs in other folders
must_be_python() {
    local version found
    version=$(timeout 20 "$python" -c 'import sys; print(*sys.version_info[:2])' 2>/dev/null </dev/null)
    [[ $version =~ ^([0-9]+)\ ([0-9]+)$ ]] && [ $((BASH_REMATCH[1] * 1000 + BASH_REMATCH[2])) -ge 3011 ] && return
    [[ $version =~ ^[0-9]+\ [0-9]+$ ]] && found="Python ${version/ /.}" || found="none"
    printf 'PYTHON must be Python 3.11 or newer, got %s, which is %s\n' "$python" "$found" >&2
    exit 2
}

if [ "$mode" = pack ]; then # weft must be importable
    must_be_python
    mkdir -p "$1" && out=$(cd "$1" && pwd) || exit 2
    nvrtc=$(mktemp -d)
    trap 'rm -rf "$nvrtc"' EXIT
    "$python" -m pip install --quiet --no-deps --target "$nvrtc" "nvidia-cuda-nvrtc==13.0.88" || exit 1
    libraries=$(find "$nvrtc" -name 'libnvrtc-builtins.so.13.0' -o -name 'libnvrtc.so.13' | sort | tr '\n' ' ')
    WEFT_CACHE_DIR=$out/cubins LD_PRELOAD=$libraries "$python" -m weft.bench.precompile --arch "${ARCH:-sm_90a}" || exit 1
    PYTHONPATH=$root/tests${PYTHONPATH:+:$PYTHONPATH} "$python" -m pytest -q -p one_per_kernel --write-cover "$out/cover.json" \
        -p no:cacheprovider --tb=no --no-summary -m "not slow" "$root"/tests/kernels/test_*.py || exit 1
    echo "PACKED=$out bench/gpu.sh OUT"
    exit 0
fi

wheels=${2:+$(cd "$2" && pwd)} || exit 2
packed=${PACKED:+$(cd "$PACKED" && pwd)} || exit 2
if [ -n "$packed" ] && [ "$mode" = run ] && ! [ -d "$packed/cubins" -a -s "$packed/cover.json" ]; then
    printf '%s must hold cubins and cover.json, but does not: bench/gpu.sh --pack %s\n' "PACKED=$packed" "$packed" >&2
    exit 2
fi
must_be_python
if [ "$mode" = dry ]; then # which leaves everything as it is
    out=$(realpath -m "$1")
    temporary=$(mktemp -du)
else
    mkdir -p "$1" && out=$(cd "$1" && pwd) || exit 2
fi
total=${WEFT_SECONDS:-470}
device=${DEVICE:-cuda}
on_gpu=gpu # the tests' mark; a rehearsal runs the same ones in the emulator
[ "$device" != emulator ] || on_gpu=
summary=$out/summary.txt
if [ "$mode" = run ]; then
    temporary=$(mktemp -d)
    trap 'rm -rf "$temporary"' EXIT
    touch "$summary"
    if [ -s "$summary" ]; then
        printf '===== goes on; so far:\n'
        cat "$summary"
    fi
    # The root of the repository is the package. A copy, so that byte code is kept and the checkout stays as it is.
    mkdir -p "$temporary/path/weft" "$temporary/site" "$temporary/cache"
    tar -C "$root" --exclude=./.git --exclude=./.venv --exclude=./runs -cf - . | tar -C "$temporary/path/weft" -xf -
fi
export PYTHONPATH=$temporary/path:$temporary/site:$temporary/path/weft/tests${PYTHONPATH:+:$PYTHONPATH}
export PYTHONUNBUFFERED=1 PYTHONIOENCODING=utf-8
export WEFT_CACHE_DIR=${WEFT_CACHE_DIR:-$temporary/cache}
export WEFT_COMMIT=${WEFT_COMMIT:-$(git -C "$root" rev-parse --short HEAD 2>/dev/null)}
if [ -n "$packed" ] && [ "$mode" = run ]; then
    cp -r "$packed/cubins/." "$WEFT_CACHE_DIR"
    export WEFT_CUBINS_OF=13.0
fi

planned=0 # seconds, at most, of the steps of a dry run
GRACE=10 # seconds that a step has to stop after its limit
stopped() { # exit status: by hand. The step ends, too: a second start, which asks for the same, must not meet it
    local job
    job=$(jobs -pr) # what waits for the step. Not from a variable, which a step that has just begun has not set yet
    if [ -n "$job" ]; then
        until [ -s "$temporary/running" ]; do sleep 0.1; done
        kill -INT "$(cat "$temporary/running")" 2>/dev/null
        wait "$job"
        printf '%-28s stopped by hand\n' "$name" | tee -a "$summary"
    fi
    exit "$1"
}
trap 'stopped 130' INT
trap 'stopped 143' TERM HUP
limited() { # seconds, command …: in the background, where an interrupt would be ignored but for `env`
    local status=0
    env --default-signal=INT bash -c 'echo $$ >"$0" && exec timeout "$@"' "$temporary/running" -s INT -k $GRACE "$@" 2>&1 || status=$?
    kill -KILL -- "-$(cat "$temporary/running")" 2>/dev/null # what the command began and left would keep the log's pipe open
    return $status
}
left() { echo $((total - GRACE - SECONDS)); }

counted() { # a log: what pytest says in its last line, as ": 3 passed, 1 skipped in 9.65s"
    tail -n 1 "$1" | sed -nE 's/^=+ (.* in .*s.*) =+$/: \1/p'
}

step() { # name, limit in seconds, log ("-" for none of its own), command …
    local name=$1 limit=$2 log=$3 start=$SECONDS
    shift 3
    if [ "$mode" = dry ]; then
        planned=$((planned + limit))
        printf '%-28s at most %3d s: %s\n' "$name" "$limit" "$*"
        return
    fi
    case $name in wheels | compile) ;; *) [ "$log" = - ] || ! grep -q "^$name  *ok," "$summary" || return ;; esac
    [ "$limit" -lt "$(left)" ] || limit=$(left)
    status=0
    if [ "$limit" -lt 5 ]; then
        printf '%-28s no time left\n' "$name" | tee -a "$summary"
        return
    fi
    printf '\n===== %s: at most %d s\n' "$name" "$limit"
    rm -f "$temporary/running"
    if [ "$log" = - ]; then
        limited "$limit" "$@" &
    else
        { limited "$limit" "$@" | tee -a "$out/$log" | tail -n 40; exit "${PIPESTATUS[0]}"; } &
    fi
    wait $!
    status=$?
    printf '%-28s %s, %d s%s\n' "$name" "$([ "$status" -eq 0 ] && echo ok || echo "exit status $status")" \
        $((SECONDS - start)) "$([ "$log" = - ] || counted "$out/$log")" | tee -a "$summary"
}

bench() { # name, limit in seconds, options …
    local name=$1 limit=$2
    shift 2
    [ "$limit" -lt "$(left)" ] || limit=$(left)
    if [ "$limit" -lt 30 ] && [ "$mode" = run ]; then
        printf '%-28s no time left\n' "$name" | tee -a "$summary"
        return
    fi
    step "$name" "$limit" - "$python" -m weft bench --save "$out/gpu.json" --resume --limit 40 --total $((limit - 10)) "$@"
}

tests() { # name, limit in seconds, options …
    local name=$1 limit=$2
    shift 2
    step "$name" "$limit" "$name.txt" "$python" -m pytest -v $workers --rootdir "$temporary/path/weft" \
        -c "$temporary/path/weft/pyproject.toml" -p no:cacheprovider "$@"
}

[ "$mode" = dry ] || cd "$temporary" || exit 2 # not where `import data` would find a folder of ours
export OMP_NUM_THREADS=2 OPENBLAS_NUM_THREADS=2
workers=$(timeout 20 "$python" -c 'import xdist' 2>/dev/null && echo '-n 6')
[ "$mode" = dry ] || timeout 20 nvidia-smi >>"$out/info.txt" 2>&1
[ -z "$wheels" ] || step wheels 40 info.txt "$python" -m pip install --quiet --no-index --no-deps --no-compile \
    --no-cache-dir --disable-pip-version-check --target "$temporary/site" "$wheels"/*.whl
step info 20 info.txt "$python" -m weft info
[ -n "$packed" ] || [ "$device" = emulator ] || step compile 90 info.txt "$python" -m weft.bench.precompile
step first-minutes 60 first_minutes.txt "$python" -m weft.bench.first_minutes --device "$device"
if [ -n "$packed" ]; then
    tests one-per-kernel 90 "$temporary/path/weft/tests/kernels" -p one_per_kernel --read-cover "$packed/cover.json" \
        ${on_gpu:+-m "$on_gpu"}
fi
bench kernels 110 --device "$device" --kernels --no-compile
bench models 80 --device "$device" --models --no-compile ${WEFT_MNIST:+--data "$WEFT_MNIST"}

sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda*/bin/compute-sanitizer 2>/dev/null | head -n 1)
for tool in memcheck racecheck initcheck synccheck; do
    if [ -z "$sanitizer" ] && [ "$mode" = run ]; then
        printf '%-28s compute-sanitizer was not found\n' "$tool" | tee -a "$summary"
    else
        step "$tool" 25 sanitizer.txt "${sanitizer:-compute-sanitizer}" --tool "$tool" --error-exitcode 9 --target-processes all \
            "$python" -m weft bench --device "$device" --models --kernels --tiny --no-torch --total 15
    fi
done
[ "$mode" = dry ] && printf '%-28s at most %3d s; what follows has what is left of %d s\n' together "$planned" $((total - GRACE))
tests all-tests 120 "$temporary/path/weft/tests" -m gpu
bench torch.compile "$([ "$mode" = dry ] && echo 60 || left)" --device "$device" --models --kernels --limit 100

[ "$mode" = dry ] && exit 0
printf '\n===== summary, after %d s\n' "$SECONDS"
cat "$summary"
[ ! -s "$out/gpu.json" ] || printf '\nFor README.md: cp %q %q && python -m weft.bench.report\n' "$out/gpu.json" "$root/bench/results/"
