#!/usr/bin/env bash
# All that only a GPU can tell, in ten minutes: bench/gpu.sh OUT [WHEELS]
#
# Installs the wheels in the folder WHEELS, if given, offline. Then what matters most comes first: all kernels compiled,
# the tests marked `gpu`, the models and kernels measured, the models on this machine's CPU, compute-sanitizer (where it is
# found) over tiny sizes, and with the time that is left, torch.compile's part of the measurements.
# A step that fails stops nothing. Into OUT go the logs, gpu.json, gpu.md, pictures, and summary.txt.
#
# Environment: PYTHON (python3), WEFT_MNIST (a folder of MNIST's idx files, to be trained on), WEFT_SECONDS (570, for all),
# DEVICE (cuda; "emulator" rehearses this script without a GPU).
set -u
[ $# -ge 1 ] || { sed -n '2,11p' "$0"; exit 2; }
mkdir -p "$1" && out=$(cd "$1" && pwd) || exit 2
wheels=${2:+$(cd "$2" && pwd)}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-python3}
total=${WEFT_SECONDS:-570}
device=${DEVICE:-cuda}
temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT
summary=$out/summary.txt
: >"$summary"

# The root of the repository is the package. A copy, so that byte code is kept and the checkout stays as it is.
mkdir -p "$temporary/path/weft" "$temporary/site"
tar -C "$root" --exclude=./.git --exclude=./.venv --exclude=./runs -cf - . | tar -C "$temporary/path/weft" -xf -
export PYTHONPATH=$temporary/path:$temporary/site${PYTHONPATH:+:$PYTHONPATH}
export PYTHONUNBUFFERED=1 PYTHONIOENCODING=utf-8
export WEFT_CACHE_DIR=${WEFT_CACHE_DIR:-$temporary/cache}
export WEFT_COMMIT=${WEFT_COMMIT:-$(git -C "$root" rev-parse --short HEAD 2>/dev/null)}

left() { echo $((total - SECONDS)); }

step() { # name, limit in seconds, log ("-" for none of its own), command …
    local name=$1 limit=$2 log=$3 start=$SECONDS
    shift 3
    [ "$limit" -lt "$(left)" ] || limit=$(left)
    status=0
    if [ "$limit" -lt 5 ]; then
        printf '%-28s no time left\n' "$name" | tee -a "$summary"
        return
    fi
    printf '\n===== %s: at most %d s\n' "$name" "$limit"
    if [ "$log" = - ]; then
        timeout -s INT -k 20 "$limit" "$@" 2>&1
    else
        timeout -s INT -k 20 "$limit" "$@" 2>&1 | tee -a "$out/$log" | tail -n 40
    fi
    status=${PIPESTATUS[0]}
    printf '%-28s %s, %d s\n' "$name" "$([ "$status" -eq 0 ] && echo ok || echo "exit status $status")" \
        $((SECONDS - start)) | tee -a "$summary"
}

cd "$temporary" || exit 2 # not where `import data` would find a folder of ours
nvidia-smi >"$out/info.txt" 2>&1
[ -z "$wheels" ] || step wheels 40 info.txt "$python" -m pip install --quiet --no-index --no-deps --no-compile \
    --no-cache-dir --disable-pip-version-check --target "$temporary/site" "$wheels"/*.whl
step info 30 info.txt "$python" -m weft info
step compile 90 info.txt "$python" -m weft.bench.precompile
workers=$("$python" -c 'import xdist' 2>/dev/null && echo '-n 6')
OMP_NUM_THREADS=2 OPENBLAS_NUM_THREADS=2 step tests 120 tests.txt "$python" -m pytest "$temporary/path/weft/tests" -m gpu -v $workers \
    --rootdir "$temporary/path/weft" -c "$temporary/path/weft/pyproject.toml" -p no:cacheprovider -o junit_family=xunit1 --junitxml "$out/tests.xml"

bench() { # name, limit in seconds, options …
    local name=$1 limit=$2
    shift 2
    [ "$limit" -lt "$(left)" ] || limit=$(left)
    if [ "$limit" -lt 30 ]; then
        printf '%-28s no time left\n' "$name" | tee -a "$summary"
        return
    fi
    step "$name" "$limit" - "$python" -m weft bench --save "$out/gpu.json" --resume --limit 40 --total $((limit - 15)) "$@"
}
bench benches 240 --device "$device" --models --kernels --no-compile ${WEFT_MNIST:+--data "$WEFT_MNIST"}
bench models-on-the-cpu 75 --device cpu --models

sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda*/bin/compute-sanitizer 2>/dev/null | head -n 1)
for tool in memcheck racecheck initcheck synccheck; do
    if [ -z "$sanitizer" ]; then
        printf '%-28s compute-sanitizer was not found\n' "$tool" | tee -a "$summary"
    else
        step "$tool" 35 sanitizer.txt "$sanitizer" --tool "$tool" --error-exitcode 9 --target-processes all \
            "$python" -m weft bench --device "$device" --models --kernels --tiny --no-torch --total 18
    fi
done
bench torch.compile "$(left)" --device "$device" --models --kernels --limit 100

printf '\n===== summary, after %d s\n' "$SECONDS"
cat "$summary"
printf '\nFor README.md: cp %s %s && python -m weft.bench.report\n' "$out/gpu.json" "$root/bench/results/"
