"""Image data sets: real files in the published formats, and what is said when they are missing."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from runner.data import vision
from runner.data.vision import CIFAR10, CIFAR100, MNIST, ImageFolder
from runner.errors import ConfigError

CPU = torch.device("cpu")
Write = Callable[..., None]
REST = {"validation": 0.25, "seed": 0}


def folder(root: Path, **changed: Any) -> ImageFolder:
    good = {"shape": [3, 6, 6], "classes": 2, "mean": [0.5] * 3, "std": [0.2] * 3}
    return ImageFolder(str(root), **good | REST | {"loader_workers": 0} | changed)


def test_mnist_holds_the_very_pixels(torchvision: Any, write_mnist: Write, tmp_path: Path) -> None:
    write_mnist(tmp_path, "MNIST")
    data = MNIST(str(tmp_path), False, [1, 28, 28], 10, **REST)
    ((inputs, labels),) = data.test().batches(99, CPU)
    raw = (tmp_path / "MNIST/raw/t10k-images-idx3-ubyte").read_bytes()[16:]
    stored = torch.frombuffer(bytearray(raw), dtype=torch.uint8).view(20, 1, 28, 28)
    assert torch.allclose(inputs, (stored / 255 - 0.1307) / 0.3081, atol=1e-5)
    assert labels.tolist() == [i % 10 for i in range(20)]


def test_mnist_resized_to_three_channels(
    torchvision: Any, write_mnist: Write, tmp_path: Path
) -> None:
    write_mnist(tmp_path, "MNIST")
    data = MNIST(str(tmp_path), False, [3, 32, 32], 10, **REST)
    inputs, _ = next(data.search().train.batches(4, CPU))
    assert inputs.shape == (4, 3, 32, 32)
    assert torch.equal(inputs[:, 0], inputs[:, 1])


def test_cifar_channels_come_first(write_cifar: Write, tmp_path: Path) -> None:
    write_cifar(tmp_path, "CIFAR10")
    ((inputs, _),) = CIFAR10(str(tmp_path), False, [3, 32, 32], 10, **REST).test().batches(99, CPU)
    stored = torch.from_numpy(
        vision.torchvision().datasets.CIFAR10(str(tmp_path), train=False).data
    )  # (N, H, W, C)
    mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (CIFAR10.mean, CIFAR10.std))
    assert torch.allclose(inputs, (stored.permute(0, 3, 1, 2) / 255 - mean) / std, atol=1e-5)


def test_validation_has_its_share_of_each_class(write_cifar: Write, tmp_path: Path) -> None:
    write_cifar(tmp_path, "CIFAR100")
    data = CIFAR100(str(tmp_path), False, [3, 32, 32], 100, validation=0.5, seed=1)
    ((_, labels),) = data.search().validation.batches(999, CPU)
    assert labels.bincount().tolist() == [1] * 100


def test_search_does_not_read_the_test_images(
    torchvision: Any, write_mnist: Write, tmp_path: Path
) -> None:
    write_mnist(tmp_path, "MNIST")
    (tmp_path / "MNIST/raw/t10k-images-idx3-ubyte").write_bytes(b"")
    data = MNIST(str(tmp_path), False, [1, 28, 28], 10, **REST)
    data.search()
    with pytest.raises(ConfigError, match="MNIST could not be read"):
        data.test()


def test_missing_folder_is_said_at_once(torchvision: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"There is no folder .*MNIST'; data.download=true"):
        MNIST(str(tmp_path), False, [1, 28, 28], 10, **REST)


def test_damaged_files(write_cifar: Write, tmp_path: Path) -> None:
    write_cifar(tmp_path, "CIFAR10")
    (tmp_path / "cifar-10-batches-py/data_batch_3").write_bytes(b"torn")
    data = CIFAR10(str(tmp_path), False, [3, 32, 32], 10, **REST)
    with pytest.raises(ConfigError, match=r"CIFAR10 could not be read .*delete it"):
        data.search()


def test_download_puts_the_files_there_whole(
    torchvision: Any, write_mnist: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = torchvision.datasets.MNIST
    monkeypatch.setattr(published, "download", lambda self: write_mnist(Path(self.root), "MNIST"))
    root = tmp_path / "data"
    data = MNIST(str(root), True, [1, 28, 28], 10, **REST)
    assert len(data.search().train) == 30
    assert sorted(p.name for p in root.iterdir() if p.is_dir()) == ["MNIST"]


def test_failed_download_leaves_no_folder(
    torchvision: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Any) -> None:
        (Path(self.root) / "MNIST").mkdir()
        raise RuntimeError("no network")

    monkeypatch.setattr(torchvision.datasets.MNIST, "download", fail)
    with pytest.raises(ConfigError, match="no network"):
        MNIST(str(tmp_path), True, [1, 28, 28], 10, **REST)
    assert not [p for p in tmp_path.iterdir() if p.is_dir()]


def test_wrong_number_of_classes_or_channels(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data.classes is 9; MNIST has 10"):
        MNIST(str(tmp_path), False, [1, 28, 28], 9, **REST)
    with pytest.raises(ConfigError, match="with 1 channels; these images have 3"):
        CIFAR10(str(tmp_path), False, [1, 32, 32], 10, **REST)


def test_torchvision_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(ConfigError, match=r'pip install "nas-runner\[vision\]"'):
        MNIST(str(tmp_path), False, [1, 28, 28], 10, **REST)


def test_torchvision_of_another_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(vision.importlib, "import_module", fail)
    with pytest.raises(ConfigError, match=r"compatible with torch .*nas-runner\[vision\].*nms"):
        MNIST(str(tmp_path), False, [1, 28, 28], 10, **REST)


def test_folder_with_a_validation_part(write_folder: Write, tmp_path: Path) -> None:
    for part, count in (("train", 4), ("val", 3), ("test", 2)):
        write_folder(tmp_path, part, count)
    data = folder(tmp_path)
    parts = (data.search().train, data.search().validation, data.test())
    assert [len(part) for part in parts] == [8, 6, 4]


def test_folder_in_gray_and_flat(write_folder: Write, tmp_path: Path) -> None:
    write_folder(tmp_path, "train", 4)
    write_folder(tmp_path, "test", 1)
    data = folder(tmp_path, shape=[1, 5, 7], mean=[0.5], std=[0.5])
    inputs, _ = next(data.search().train.batches(2, CPU))
    assert inputs.shape == (2, 1, 5, 7)


def test_folders_that_do_not_fit(write_folder: Write, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"There is no folder .*train'; put one folder"):
        folder(tmp_path)
    write_folder(tmp_path, "train", 4)
    write_folder(tmp_path, "test", 1)
    with pytest.raises(ConfigError, match=r"data.classes is 5, but .*train' has 2 class folders"):
        folder(tmp_path, classes=5)
    with pytest.raises(ConfigError, match=r"data.mean is \[0.5\]; it needs 3 numbers"):
        folder(tmp_path, mean=[0.5])
    with pytest.raises(ConfigError, match=r"data.std is \[0.0, 1.0, 1.0\]; its numbers must be"):
        folder(tmp_path, std=[0.0, 1.0, 1.0])
    (tmp_path / "test" / "cat").rename(tmp_path / "test" / "cow")
    with pytest.raises(ConfigError, match=r"same class folders; only one .*\['cat', 'cow'\]"):
        folder(tmp_path)


def test_class_folder_without_images(write_folder: Write, tmp_path: Path) -> None:
    write_folder(tmp_path, "train", 4)
    write_folder(tmp_path, "test", 1)
    (tmp_path / "test" / "cat" / "0.png").unlink()
    with pytest.raises(ConfigError, match="cat"):
        folder(tmp_path).test()


def test_a_class_without_images_is_said_before_loading(
    torchvision: Any, write_folder: Write, tmp_path: Path
) -> None:
    for part in ("train", "test", "val"):
        write_folder(tmp_path, part, 4)
    folder(tmp_path).check()
    for file in [*(tmp_path / "val" / "dog").iterdir()]:
        file.rename(file.with_suffix(".txt"))
    with pytest.raises(ConfigError, match=r"val/dog' has no images; each class needs some"):
        folder(tmp_path).check()


def test_a_part_without_images_is_said_before_loading(
    torchvision: Any, write_folder: Write, tmp_path: Path
) -> None:
    for part in ("train", "test"):
        write_folder(tmp_path, part, 4)
    folder(tmp_path).check()
    for fraction in (0.01, 0.99):
        with pytest.raises(ConfigError, match=r"leaves \d of 8 examples to train on"):
            folder(tmp_path, validation=fraction).check()


def test_a_folder_without_files_is_said_before_loading(
    torchvision: Any, write_mnist: Write, tmp_path: Path
) -> None:
    (tmp_path / "MNIST" / "raw").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"has no files; delete it"):
        MNIST(str(tmp_path), False, [1, 28, 28], 10, **REST).check()
    (tmp_path / "MNIST" / "raw").rmdir()
    (tmp_path / "MNIST").rmdir()
    write_mnist(tmp_path, "MNIST")
    MNIST(str(tmp_path), False, [1, 28, 28], 10, **REST).check()
