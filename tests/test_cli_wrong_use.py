"""The command line used wrongly: one line that says what is wrong, exit status 2, and nothing is trained."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import weft
from weft.__main__ import main
from weft.training import Trainer

# fmt: off
WRONG = [
    ('trian', "unknown command 'trian'; choose from new, data, train, generate, translate, forecast, export, bench, info; did"),
    ('Train', 'did you mean train?'),
    ('data get irsi', "`name` must be one of breast-cancer, "),
    ('data get pengins', 'did you mean penguins?'),
    ('data get mnist', 'mnist comes with no package: put into datasets/mnist: train-images-idx3-ubyte.gz'),
    ('data get', 'NAME goes with get, as in: weft data get iris'),
    ('data list iris', 'NAME goes with get'),
    ('data list --to x', '--to goes with get'),
    ('data gte iris', 'did you mean get?'),
    ('new', 'the following arguments are required: DIR'),
    ('new .', 'DIR must be an empty folder or a new one, got'),
    ('info --check --kernels', '--check goes alone'),
    ('inof', 'did you mean info?'),
    ('benhc', 'did you mean bench?'),
    ('evaluate', "unknown command 'evaluate'"),
    ("''", "unknown command ''"),
    ('--versoin', "unknown command '--versoin'"),
    ('-x', "unknown command '-x'"),
    ('train foo', 'unrecognized arguments: foo'),
    ('train digits mlp', 'unrecognized arguments: digits mlp'),
    ('train --modle cnn', 'unrecognized arguments: --modle cnn; see weft train --help; did you mean --model?'),
    ('train --epoch 3', 'did you mean --epochs?'),
    ('train --batchsize 3', 'did you mean --batch-size?'),
    ('train --batch_size 3', 'did you mean --batch-size?'),
    ('train --weight-deacy=0.1', 'did you mean --weight-decay?'),
    ('train --learning-rate 0.1', 'unrecognized arguments: --learning-rate 0.1'),
    ('train --Epochs 3', 'did you mean --epochs?'),
    ('train --mod cnn', 'unrecognized arguments: --mod cnn'),
    ('train -e 3', 'unrecognized arguments: -e 3'),
    ('train --model vgg', "argument --model: invalid choice: 'vgg'"),
    ('train --model CNN', 'did you mean cnn?'),
    ('train --model resnet', 'did you mean resnet18?'),
    ("train --model ''", "invalid choice: ''"),
    ('train --model', 'argument --model: expected one argument'),
    ('train --model=', "invalid choice: ''"),
    ('train --epochs 0', "argument --epochs: must be an integer at least 1, got '0'"),
    ('train --epochs -1', "argument --epochs: must be an integer at least 1, got '-1'"),
    ('train --epochs 1.5', "must be an integer at least 1, got '1.5'"),
    ('train --epochs many', "must be an integer at least 1, got 'many'"),
    ('train --epochs 1e3', "must be an integer at least 1, got '1e3'"),
    ("train --epochs ''", "must be an integer at least 1, got ''"),
    ('train --epochs nan', "must be an integer at least 1, got 'nan'"),
    ('train --epochs inf', "must be an integer at least 1, got 'inf'"),
    ('train --epochs 99999999999999999999999', 'must be an integer at least 1 and below 2147483648'),
    ('train --epochs', 'argument --epochs: expected one argument'),
    ('train --epochs 1 2', 'unrecognized arguments: 2'),
    ('train --batch-size 0', 'argument --batch-size: must be an integer at least 1'),
    ('train --batch-size -5', 'argument --batch-size: must be an integer at least 1'),
    ('train --batch-size 3.0', "must be an integer at least 1, got '3.0'"),
    ('train --batch-size 99999999999', 'must be an integer at least 1 and below 2147483648'),
    ('train --accumulate 0', 'argument --accumulate: must be an integer at least 1'),
    ('train --accumulate 0.5', "must be an integer at least 1, got '0.5'"),
    ('train --augment fli', "--augment fli: `names` must be some of rotate, affine, crop"),
    ('train --augment fli', "got 'fli'; did you mean flip?"),
    ("train --augment ''", "--augment : `names` must be some of"),
    ('train --lr 0', "argument --lr: must be a number above 0, got '0'"),
    ('train --lr -0.1', "argument --lr: must be a number above 0, got '-0.1'"),
    ('train --lr nan', "must be a number above 0, got 'nan'"),
    ('train --lr inf', "must be a number above 0 and below inf, got 'inf'"),
    ('train --lr 1e999', "must be a number above 0 and below inf, got '1e999'"),
    ('train --lr fast', "must be a number above 0, got 'fast'"),
    ("train --lr ''", "must be a number above 0, got ''"),
    ('train --weight-decay -1', 'argument --weight-decay: must be a number at least 0'),
    ('train --weight-decay nan', "must be a number at least 0, got 'nan'"),
    ('train --weight-decay inf', 'must be a number at least 0 and below inf'),
    ('train --label-smoothing 1', "must be a number at least 0 and below 1, got '1'"),
    ('train --label-smoothing -0.1', "must be a number at least 0 and below 1, got '-0.1'"),
    ('train --label-smoothing nan', "must be a number at least 0 and below 1, got 'nan'"),
    ('train --clip-grad-norm 0', 'argument --clip-grad-norm: must be a number above 0'),
    ('train --clip-grad-norm nan', "must be a number above 0, got 'nan'"),
    ('train --clip-grad-norm inf', 'must be a number above 0 and below inf'),
    ('train --validation 0', "must be a number above 0 and below 1, got '0'"),
    ('train --validation 1', "must be a number above 0 and below 1, got '1'"),
    ('train --validation 1.5', "must be a number above 0 and below 1, got '1.5'"),
    ('train --validation nan', "must be a number above 0 and below 1, got 'nan'"),
    ('train --patience 0', 'argument --patience: must be an integer at least 1'),
    ('train --patience nan', "must be an integer at least 1, got 'nan'"),
    ('train --seed -1', "must be an integer at least 0 and below 4294967296, got '-1'"),
    ('train --seed 4294967296', 'must be an integer at least 0 and below 4294967296'),
    ('train --seed 0.5', "got '0.5'"),
    ('train --optimizer adagrad2', "invalid choice: 'adagrad2'"),
    ('train --optimizer Adam', 'did you mean adam?'),
    ('train --optimizer amdaw', 'did you mean adamw?'),
    ("train --optimizer ''", "invalid choice: ''"),
    ('train --schedule onecyle', 'did you mean onecycle?'),
    ('train --schedule constant', "invalid choice: 'constant'"),
    ('train --precision float64', "invalid choice: 'float64'"),
    ('train --precision fp16', "invalid choice: 'fp16'"),
    ('train --precision bfloat61', 'did you mean bfloat16?'),
    ('train --device tpu', '`device` must be one of'),
    ("train --device ''", '`device` must be one of'),
    ('train --device gpu', '`device` must be one of'),
    ('train --device CPU', '`device` must be one of'),
    ('train --device cpu:1', '`device` takes an index for cuda alone'),
    ('train --device emulator:1', '`device` takes an index for cuda alone'),
    ('train --threads 0', "must be an integer at least 1 and below 1025, got '0'"),
    ('train --threads -2', "must be an integer at least 1 and below 1025, got '-2'"),
    ('train --threads 100000', "must be an integer at least 1 and below 1025, got '100000'"),
    ('train --threads all', "must be an integer at least 1 and below 1025, got 'all'"),
    ('train --hidden 9', '--hidden is for --model mlp, got cnn'),
    ('train --model mlp --hidden', 'argument --hidden: expected at least one argument'),
    ('train --model mlp --hidden 0', 'argument --hidden: must be an integer at least 1'),
    ('train --model mlp --hidden 1.5', "got '1.5'"),
    ('train --model mlp --hidden 16 x', "got 'x'"),
    ('train --model mlp --hidden 16,16', "got '16,16'"),
    ('train --model mlp --hidden 99999999999', 'must be an integer at least 1 and below 2147483648'),
    ('train --checkpoint-every 0', 'argument --checkpoint-every: must be an integer at least 1'),
    ('train --checkpoint-every 1.5', "got '1.5'"),
    ('train --quiet=1', "argument --quiet: ignored explicit argument '1'"),
    ('train --debug=yes', "argument --debug: ignored explicit argument 'yes'"),
    ('train --overwrite=1', "argument --overwrite: ignored explicit argument '1'"),
    ('train --data', 'argument --data: expected one argument'),
    ("train --data ''", '``: expected a path, found an empty one'),
    ("train --task text --data ''", '``: expected a path, found an empty one'),
    ('train --data ~nobody_such/x', '`~nobody_such/x`: expected a path, found a home folder that is not known'),
    ('train --task text --data ~nobody_such/x', 'found a home folder that is not known'),
    ('generate ~nobody_such/x', 'found a home folder that is not known'),
    ("generate ''", '``: expected a path, found an empty one'),
    ('train --data nowhere', "`nowhere`: expected 'digits', a folder, an .npz file or a table (.csv, .parquet), found nothing"),
    ('train --data empty', '`empty`: expected'),
    ('train --data file', '`file`: expected'),
    ('train --data cut.npz', '`cut.npz`: expected an .npz file'),
    ('train --data digit', "`digit`: expected 'digits', a folder, an .npz file or a table (.csv, .parquet), found nothing"),
    ('train DATA --model cnn', '--model cnn on samples of shape (4,)'),
    ('train DATA --model resnet18', '--model resnet18 on samples of shape (4,)'),
    ('train DATA --validation 0.001', '--validation 0.001 of 60 samples'),
    ('train MLP --out', 'argument --out: expected one argument'),
    ("train MLP --out ''", "--out must name a folder, got ''"),
    ('train MLP --out file', '--out file: could not be written: File exists'),
    ('train MLP --out file/x', '--out file/x: could not be written: Not a directory'),
    ('train MLP --out dangling', '--out dangling: could not be written: File exists'),
    ('train MLP --out /dev/null/x', '--out /dev/null/x: could not be written: Not a directory'),
    ('train MLP --out LONG', 'could not be written: File name too long'),
    ('train MLP --out m', '--out m: `model.safetensors` must be a file to be written, found a folder'),
    ('train MLP --out l', '--out l: `log.csv` must be a file to be written, found a folder'),
    ('train MLP --out f', '--out f: `best.safetensors` must be a file to be written, found it is a FIFO or a device'),
    ('train MLP --out ~nobody_such/x', '--out ~nobody_such/x: must be a path, got a home folder that is not known'),
    ('train --resume ~nobody_such/x', '--resume ~nobody_such/x: must be a path, got a home folder that is not known'),
    ('train MLP --out m --overwrite', '`model.safetensors` must be a file to be written, found a folder'),
    ('train MLP --out r', '--out r: expected no run in it, found last.safetensors, best.safetensors, model.safetensors'),
    ('train MLP --overwrite', '--overwrite goes with --out'),
    ('train --resume', '--resume needs a checkpoint or a folder'),
    ("train --resume ''", '--resume needs a checkpoint or a folder'),
    ('train --resume r --overwrite', '--overwrite goes with --out'),
    ('train --resume r --out r --overwrite', '--overwrite is for a new run'),
    ('train --resume nowhere', '`nowhere`: expected a checkpoint, found nothing of that name'),
    ('train --resume nope.safetensors', '`nope.safetensors`: expected a checkpoint, found nothing of that name'),
    ('train --resume LONG', '`nnn'),
    ('train --resume r --out LONG', 'could not be written: File name too long'),
    ('train --resume empty', '--resume empty: expected a run with last.safetensors, found none in that folder'),
    ('train --resume --out empty', '--resume empty: expected a run with last.safetensors'),
    ('train --resume file', '`file`: expected'),
    ('train --resume small.npz', '`small.npz`: expected'),
    ('train --resume lib.safetensors', 'expected a checkpoint of `weft train`'),
    ('train --resume r/model.safetensors', 'expected a checkpoint, found a model'),
    ('train --resume r/log.csv', '`r/log.csv`: expected'),
    ('train --resume r r', 'unrecognized arguments: r'),
    ('train --resume r --lr 0.5', '--lr cannot change on resuming'),
    ('train --resume r --epochs 9', '--epochs cannot change on resuming'),
    ('train --resume r --model cnn', '--model cannot change on resuming'),
    ('train --resume r --seed 3', '--seed cannot change on resuming'),
    ('train --resume r --optimizer sgd', '--optimizer cannot change on resuming'),
    ('train --resume r --batch-size 7', '--batch-size cannot change on resuming'),
    ('train --resume r --hidden 9', '--hidden cannot change on resuming'),
    ('train --resume r --precision float16', '--precision cannot change on resuming'),
    ('train --resume r --data nowhere', '`nowhere`: expected'),
    ('train --resume r --data other.npz', 'data in other.npz are not those the run was begun with'),
    ('train --resume r --out m', '`model.safetensors` must be a file to be written'),
    ('train --resume r --out s', '--out s: expected no run in it'),
    ('train --resume r --device tpu', '`device` must be one of'),
    ('info foo', 'unrecognized arguments: foo'),
    ('info --modle mlp', 'did you mean --model?'),
    ('info --model vgg', "invalid choice: 'vgg'"),
    ('info --model', 'expected one argument'),
    ('info --json', '--arch and --json go with --kernels'),
    ('info --arch sm_90a', '--arch and --json go with --kernels'),
    ('info --kernels --arch', 'expected at least one argument'),
    ('info --kernels --model mlp', '--kernels and --model are two tables'),
    ('info --classes 3', '--input-shape and --classes go with --model'),
    ('info --input-shape 3', '--input-shape and --classes go with --model'),
    ('info --model mlp --classes 0', 'must be an integer at least 1'),
    ('info --model mlp --input-shape', 'expected at least one argument'),
    ('info --model mlp --input-shape 0', 'must be an integer at least 1'),
    ('info --model mlp --input-shape 1.5', "got '1.5'"),
    ('info --model cnn --input-shape 3', '--input-shape 3: `input_shape` must be (C, H, W)'),
    ('info --model cnn --input-shape 1 2 2', '--input-shape 1 2 2: `input_shape` must be (C, H, W)'),
    ('info --model resnet18 --input-shape 3', '--input-shape 3: `input_shape` must be (C, H, W)'),
    ('info --model mlp --input-shape 100000 100000', '--input-shape 100000 100000: `empty` needs more memory than there is'),
    ('info --model mlp --input-shape 999999999 999999999', '--input-shape 999999999 999999999: no array can be as large'),
    ('info --model mlp --classes 2147483647', '--classes 2147483647: `empty` needs more memory than there is'),
    ('info --model mlp --input-shape 9 --classes 2147483647',
     '--input-shape 9 --classes 2147483647: `empty` needs more memory than there is'),
    ("bench ''", 'NAME must not be empty'),
    ("bench --save ''", "--save must name a folder or a .json file, got ''"),
    ("bench --data ''", "--data must name a folder, got ''"),
    ('bench --save ~nobody_such/x resnet18', '--save ~nobody_such/x: must be a path, got a home folder that is not known'),
    ('bench nothing_such', "no bench here has a name that begins with 'nothing_such'"),
    ('bench resnt18', "see weft bench --list; did you mean resnet18?"),
    ('bench --modles', 'did you mean --models?'),
    ('bench --models=3', "ignored explicit argument '3'"),
    ('bench --device tpu', '--device must be one of'),
    ("bench --device ''", '--device must be one of'),
    ('bench --threads 0', 'must be an integer at least 1'),
    ('bench --threads 9999', '--threads must be between 1 and'),
    ('bench --seconds 0', 'must be a number above 0'),
    ('bench --seconds nan', "must be a number above 0, got 'nan'"),
    ('bench --seconds inf', 'must be a number above 0 and below inf'),
    ('bench --limit 0', 'argument --limit: must be a number above 0'),
    ('bench --total soon', "got 'soon'"),
    ('bench --resume', '--resume needs --save PATH'),
    ('bench --save', 'argument --save: expected one argument'),
    ('bench --save file/x resnet18', '--save: `file/x/bench.json` could not be written: Not a directory'),
    ('bench --device emulator --operations', 'nothing to measure'),
]
# fmt: on
SHORT = {"DATA": ["--data", "small.npz"], "MLP": ["--data", "small.npz", "--model", "mlp"], "LONG": ["n" * 300]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """With data, runs, and what is neither."""
    path = tmp_path_factory.mktemp("wrong")
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((60, 4)).astype(np.float32), np.arange(60) % 3
    before, threads = Path.cwd(), weft.num_threads()
    os.chdir(path)
    try:
        np.savez("small.npz", x_train=x, y_train=y, x_test=x[:30], y_test=y[:30])
        np.savez("dev.npz", x_train=x, y_train=y, x_dev=x, y_dev=y, x_test=x, y_test=y)  # without, scikit-learn splits
        np.savez("other.npz", x_train=x + 1, y_train=y, x_test=x[:30], y_test=y[:30])
        Path("cut.npz").write_bytes(Path("small.npz").read_bytes()[:-100])
        Path("file").write_text("hello")
        Path("empty").mkdir()
        Path("dangling").symlink_to("nowhere")
        Path("m/model.safetensors").mkdir(parents=True)
        Path("l/log.csv").mkdir(parents=True)
        Path("f").mkdir()
        os.mkfifo("f/best.safetensors")
        weft.training.save_checkpoint("lib.safetensors", {"epoch": 1})
        modules = pytest.MonkeyPatch()
        with modules.context() as patch:
            patch.setitem(sys.modules, "matplotlib", None)  # drawing takes longer than the training here
            for out in ("r", "s"):
                options = ["--model", "mlp", "--hidden", "8", "--epochs", "1", "--quiet", "--out", out]
                assert main(["train", "--data", "dev.npz", *options]) == 0
    finally:
        os.chdir(before)
    yield path
    weft.set_num_threads(threads)


def arguments(line):
    return [word for short in shlex.split(line) for word in SHORT.get(short, [short])]


def holds(folder):
    return {path: path.lstat().st_mtime_ns for path in sorted(folder.rglob("*")) if not path.is_dir()}


@pytest.mark.parametrize(("line", "message"), WRONG, ids=[line for line, _ in WRONG])
def test_one_line(folder, monkeypatch, capsys, line, message):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(Trainer, "fit", None)  # would be a TypeError
    before = holds(folder)
    try:
        status = main(arguments(line))
    except SystemExit as error:  # argparse
        status = error.code
    shown = capsys.readouterr().err
    assert status == 2, shown
    assert shown.count("\n") == 1, shown
    assert message in shown
    assert shown.startswith("weft")
    assert holds(folder) == before  # nothing is left behind, and nothing is lost


@pytest.mark.parametrize(("line", "message"), WRONG[::18], ids=[line for line, _ in WRONG[::18]])
def test_as_a_process(folder, line, message):
    command = [sys.executable, "-m", "weft", *arguments(line)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert message in done.stderr


@pytest.mark.parametrize("option", ["--lr 1e38", "--weight-decay 1e39"])
def test_what_overflows_is_told_in_one_line(folder, option):
    line = f"MLP --hidden 8 --epochs 2 --quiet --out overflow {option}"
    command = [sys.executable, "-m", "weft", "train", *arguments(line), "--overwrite"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("weft train: the loss is")


def test_there_are_enough():
    assert len({line for line, _ in WRONG}) >= 150
