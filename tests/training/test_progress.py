"""What is counted, and that it survives a checkpoint."""

from weft.training.progress import Progress


def test_an_epoch():
    progress = Progress()
    progress.begin_epoch()
    for n in (8, 8, 3):
        progress.count_batch(n)
    assert (progress.batch, progress.samples) == (3, 19)
    progress.end_epoch({"epoch": 1, "loss": 0.5})
    assert (progress.epoch, progress.batch, progress.samples) == (1, 0, 19)
    assert progress.history == [{"epoch": 1, "loss": 0.5}]
    progress.begin_epoch()
    assert (progress.samples, progress.row, progress.history) == (0, {}, [{"epoch": 1, "loss": 0.5}])


def test_state():
    progress = Progress(epoch=2, step=9, batch=1, samples=8, seconds=0.25, row={"a": 1.0}, history=[{"epoch": 1}])
    state = progress.state_dict()
    other = Progress()
    other.load_state_dict({**state, "model": None})
    assert other == progress
    other.history.append({})
    other.row["b"] = 2.0
    assert progress.history == [{"epoch": 1}]
    assert progress.row == {"a": 1.0}


def test_the_last_row_is_in_the_history_and_not_begun_anew():
    progress = Progress()
    progress.count_batch(8)
    progress.end_epoch({"epoch": 1})
    assert progress.state_dict()["row"] == {}
