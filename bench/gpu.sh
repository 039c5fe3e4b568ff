#!/usr/bin/env bash
# All that only a GPU can tell, in ten minutes: bench/gpu.sh OUT [WHEELS]
#
# Installs the wheels in the folder WHEELS, if given, offline; then `weft info`, all kernels compiled, the tests marked
# `gpu`, compute-sanitizer (where it is found) over tiny sizes, and `python -m weft.bench.gpu` for the time that is left.
# A step that fails stops nothing. Into OUT go the logs, gpu.json, gpu.txt, gpu.png and summary.txt.
#
# Environment: PYTHON (python3), WEFT_MNIST (a folder of MNIST's idx files, to be trained on), WEFT_SECONDS (570, for all).
set -u
[ $# -ge 1 ] || { sed -n '2,8p' "$0"; exit 2; }
mkdir -p "$1" && out=$(cd "$1" && pwd) || exit 2
wheels=${2:+$(cd "$2" && pwd)}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-python3}
total=${WEFT_SECONDS:-570}
temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT
summary=$out/summary.txt
: >"$summary"

mkdir "$temporary/path" "$temporary/site"
ln -s "$root" "$temporary/path/weft" # the root of the repository is the package
export PYTHONPATH=$temporary/path:$temporary/site${PYTHONPATH:+:$PYTHONPATH}
export PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PYTHONIOENCODING=utf-8
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
        timeout -k 5 "$limit" "$@" 2>&1
    else
        timeout -k 5 "$limit" "$@" 2>&1 | tee -a "$out/$log" | tail -n 40
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
step compile 90 info.txt "$python" -m weft.bench.gpu --compile
workers=$("$python" -c 'import xdist' 2>/dev/null && echo '-n 6')
OMP_NUM_THREADS=2 OPENBLAS_NUM_THREADS=2 step tests 120 tests.txt "$python" -m pytest "$root/tests" -m gpu -q $workers \
    --rootdir "$root" -c "$root/pyproject.toml" -p no:cacheprovider -o junit_family=xunit1 --junitxml "$out/tests.xml"

sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda*/bin/compute-sanitizer 2>/dev/null | head -n 1)
for tool in memcheck racecheck synccheck initcheck; do
    if [ -z "$sanitizer" ]; then
        printf '%-28s compute-sanitizer was not found\n' "$tool" | tee -a "$summary"
    elif [ $(($(left) * 100 / total)) -lt 40 ]; then # the rest is for the benches
        printf '%-28s no time left\n' "$tool" | tee -a "$summary"
    else
        step "$tool" 35 sanitizer.txt "$sanitizer" --tool "$tool" --error-exitcode 9 --target-processes all \
            "$python" -m weft.bench.gpu --tiny --seconds 18 --out "$temporary/tiny"
    fi
done

for again in "" --resume --resume; do # after a crash, with the bench that follows
    step bench "$(left)" - "$python" -m weft.bench.gpu --out "$out" --seconds $(($(left) - 20)) \
        ${WEFT_MNIST:+--data "$WEFT_MNIST"} $again
    [ "${status:-0}" -ge 128 ] || break
done
printf '\n===== summary, after %d s\n' "$SECONDS"
cat "$summary"
