"""What programs take from torchvision, and samplers and streams of data, in one program each."""

import pytest
from torch_program import run

IMAGES = """
    import numpy as np, torch
    from PIL import Image
    from torchvision import transforms as T
    import torchvision.transforms.functional as TF
    torch.manual_seed(0)
    raw = np.random.default_rng(0).integers(0, 255, (20, 26, 3), np.uint8)
    image, tensor = Image.fromarray(raw), torch.from_numpy(raw.transpose(2, 0, 1).copy()).float() / 255
    assert torch.equal(T.ToTensor()(image), tensor)
    assert (np.asarray(T.ToPILImage()(tensor)).astype(int) - raw).max() <= 1
    assert torch.equal(T.PILToTensor()(image).float() / 255, T.ConvertImageDtype(torch.float32)(T.PILToTensor()(image)))
    same_size = [
        T.RandomVerticalFlip(1.0), T.RandomHorizontalFlip(1.0), T.RandomRotation(10), T.RandomAffine(10, (0.1, 0.1), (0.9, 1.1), 5),
        T.ColorJitter(0.2, 0.2, 0.2, 0.1), T.GaussianBlur(3), T.RandomGrayscale(1.0), T.RandomApply([T.RandomGrayscale(1.0)], 1.0),
        T.RandomChoice([T.RandomVerticalFlip(1.0)]), T.RandomOrder([T.RandomVerticalFlip(1.0), T.RandomGrayscale(1.0)]),
    ]
    for transform in same_size:
        assert transform(image).size == (26, 20) and transform(tensor).shape == (3, 20, 26), transform
    assert np.array_equal(np.asarray(T.RandomVerticalFlip(1.0)(image)), raw[::-1])
    assert torch.equal(TF.hflip(tensor), tensor.flip(-1)) and TF.vflip(image).size == image.size
    gray = T.RandomGrayscale(1.0)(tensor)
    assert torch.equal(gray[0], gray[1])
    assert torch.equal(T.RandomAffine(0)(T.PILToTensor()(image)), T.PILToTensor()(image))  # nothing moves
    for transform in (T.RandomResizedCrop(8), T.RandomCrop(8), T.CenterCrop(8), T.Compose([T.Resize(8), T.CenterCrop(8)])):
        assert transform(image).size == (8, 8) and transform(tensor).shape == (3, 8, 8), transform
    assert T.Pad((1, 2))(image).size == (28, 24) and T.Pad((1, 2))(tensor).shape == (3, 24, 28)
    erased = T.RandomErasing(1.0, value=9.0)(tensor)
    assert 0 < (erased == 9).sum() < erased.numel() and tensor.max() <= 1
    for bad in (lambda: T.RandomCrop(4, padding_mode="reflect"), lambda: T.Resize(4, max_size=9)):
        try:
            bad()
        except NotImplementedError as error:
            print(error)
"""


def test_transforms(tmp_path):
    done = run(tmp_path, IMAGES)
    assert done.returncode == 0, done.stderr
    crop, resize = done.stdout.splitlines()
    assert "`RandomCrop` pads with zeros alone" in crop
    assert "`max_size` must be None, got 9" in resize


MODELS = """
    import torch
    from torchvision import models
    net = models.resnet50(num_classes=3)
    print(sum(p.numel() for p in net.parameters()), list(net.state_dict())[-4:-2])
    print(list(models.VGG("2 M 4", True, 2).features.state_dict())[5:9])
    torch.save(models.resnet18(num_classes=2).state_dict(), "cache/hub/checkpoints/resnet18-0.pth")
    print(models.resnet18(pretrained=True, num_classes=2)(torch.zeros(1, 3, 64, 64)).shape)
    models.vgg16(True)
"""


@pytest.mark.slow
def test_models(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    (tmp_path / "cache/hub/checkpoints").mkdir(parents=True)
    done = run(tmp_path, MODELS)
    assert done.stdout.splitlines() == [
        "23514179 ['layer4.2.bn3.running_var', 'layer4.2.bn3.num_batches_tracked']",
        "['1.running_var', '1.num_batches_tracked', '4.weight', '4.bias']",
        "torch.Size([1, 2])",
    ], done.stderr
    assert "as vgg16-….pth (nothing is downloaded), got none there" in done.stderr


DATA = """
    import torch
    from torch.utils.data import *
    from torch.utils.data.distributed import DistributedSampler

    class Count(IterableDataset):
        def __iter__(self):
            return iter(range(5))

    assert [b.tolist() for b in DataLoader(Count(), batch_size=2, num_workers=2)] == [[0, 1], [2, 3], [4]]
    assert [b.tolist() for b in DataLoader(Count(), batch_size=2, drop_last=True)] == [[0, 1], [2, 3]]
    assert list(DataLoader(Count(), batch_size=None)) == [0, 1, 2, 3, 4]
    assert list(ChainDataset([Count(), Count()])) == [0, 1, 2, 3, 4] * 2
    rows = TensorDataset(torch.arange(6))
    assert sorted(int(x) for (x,) in DataLoader(rows, sampler=SubsetRandomSampler([1, 4, 5]), batch_size=1)) == [1, 4, 5]
    batches = BatchSampler(SequentialSampler(rows), 4, drop_last=False)
    assert (list(batches), len(batches)) == ([[0, 1, 2, 3], [4, 5]], 2)
    assert [x.tolist() for (x,) in DataLoader(rows, batch_sampler=batches)] == [[0, 1, 2, 3], [4, 5]]
    sampler = DistributedSampler(rows)
    first = list(sampler)
    sampler.set_epoch(1)
    assert sorted(first) == [0, 1, 2, 3, 4, 5] and list(sampler) != first
    pairs = StackDataset(a=rows, b=rows)
    assert pairs[2]["b"][0] == 2 and len(pairs) == 6
    state = torch.get_rng_state()
    drawn = torch.rand(3)
    torch.set_rng_state(state)
    assert torch.equal(drawn, torch.rand(3))
    with torch.random.fork_rng():
        torch.rand(9)
    print("done")
"""


def test_samplers_streams_and_states(tmp_path):
    done = run(tmp_path, DATA)
    assert done.stdout == "done\n", done.stderr
