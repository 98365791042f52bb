"""Small data sets on disk, in the formats that MNIST, CIFAR and image folders are published in."""

import hashlib
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vision


@pytest.fixture(scope="session")
def torchvision() -> Any:
    """The package."""
    return vision.torchvision()


def pixels(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def labels(count: int, classes: int) -> np.ndarray:
    return (np.arange(count) % classes).astype(np.uint8)


@pytest.fixture
def write_mnist() -> Callable[..., None]:
    """write(root, "MNIST"): 40 training and 20 test images as idx files."""

    def write(root: Path, name: str) -> None:
        raw = root / name / "raw"
        raw.mkdir(parents=True)
        for part, count in (("train", 40), ("t10k", 20)):
            images = struct.pack(">IIII", 0x803, count, 28, 28) + pixels(1, count, 28, 28).tobytes()
            numbers = struct.pack(">II", 0x801, count) + labels(count, 10).tobytes()
            (raw / f"{part}-images-idx3-ubyte").write_bytes(images)
            (raw / f"{part}-labels-idx1-ubyte").write_bytes(numbers)

    return write


@pytest.fixture
def write_cifar(torchvision: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """write(root, "CIFAR10"): tiny batch files; torchvision is told their checksums."""

    def write(root: Path, name: str) -> None:
        published = getattr(torchvision.datasets, name)
        folder = root / published.base_folder
        folder.mkdir(parents=True)
        key, classes = ("labels", 10) if name == "CIFAR10" else ("fine_labels", 100)

        def batch(seed: int, count: int) -> dict[str, Any]:
            return {"data": pixels(seed, count, 3072), key: labels(count, classes).tolist()}

        def put(file: str, content: dict[str, Any]) -> list[str]:
            data = pickle.dumps(content, protocol=2)
            (folder / file).write_bytes(data)
            return [file, hashlib.md5(data).hexdigest()]

        size = 2 * classes
        train = [put(file, batch(i, size)) for i, (file, _) in enumerate(published.train_list)]
        test = [put(file, batch(9, size)) for file, _ in published.test_list]
        meta = published.meta
        names = {meta["key"]: [f"class {i}" for i in range(classes)]}
        monkeypatch.setattr(published, "train_list", train)
        monkeypatch.setattr(published, "test_list", test)
        monkeypatch.setattr(published, "meta", meta | {"md5": put(meta["filename"], names)[1]})

    return write


@pytest.fixture
def write_folder(torchvision: Any) -> Callable[..., None]:
    """write(root, "train", 4): a folder with that many PNG files of each of two classes."""

    def write(root: Path, part: str, count: int) -> None:
        from PIL import Image

        for k, name in enumerate(("cat", "dog")):
            (root / part / name).mkdir(parents=True)
            for i in range(count):
                image = Image.fromarray(pixels(100 * k + i, 12, 10 + i, 3))
                image.save(root / part / name / f"{i}.png")

    return write
