"""Image data sets of torchvision (the `vision` extra): MNIST, CIFAR, and folders of images."""

import importlib
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, final

import torch
from filelock import FileLock
from torch import Tensor
from torch.utils.data import Dataset, Subset

from runner.data.data import SearchData, Split, TargetKind
from runner.data.holdout import HoldoutData, TensorData
from runner.data.images import check_image_shape, fit
from runner.data.splits import (
    DatasetSplit,
    Normalize,
    TensorSplit,
    check_parts,
    check_targets,
    holdout,
)
from runner.errors import ConfigError, one_line, require


def torchvision() -> Any:
    """Imports torchvision. Raises ConfigError, with the package to install, if that fails."""
    try:
        return importlib.import_module("torchvision")
    except (ImportError, RuntimeError, OSError, AttributeError) as error:
        # It raises one of the last three next to a torch it was not built for.
        raise ConfigError(
            f"This data set needs a torchvision compatible with torch {torch.__version__}: "
            f'pip install "nas-runner[vision]" ({one_line(error)}).'
        ) from error


class Downloadable(TensorData):
    """A data set that torchvision can download, held in memory as bytes."""

    name: ClassVar[str]  # in torchvision.datasets
    folder: ClassVar[str]  # below `root`
    labels: ClassVar[int]  # number of classes
    mean: ClassVar[Sequence[float]]  # of the training images, per channel, scaled to 0..1
    std: ClassVar[Sequence[float]]

    def __init__(
        self,
        root: str,
        download: bool,
        shape: Sequence[int],
        classes: int,
        validation: float,
        seed: int,
    ) -> None:
        """Downloads the files into `root` if they do not exist and `download` is true."""
        super().__init__(shape, classes, validation, seed)
        check_image_shape(shape, channels=len(self.mean))
        if classes != self.labels:
            raise ConfigError(f"data.classes is {classes}; {self.name} has {self.labels}.")
        self._root = Path(root)
        torchvision()
        if not (self._root / self.folder).is_dir():
            self._fetch(download)

    def _fetch(self, download: bool) -> None:
        """Downloads all files or none; a second process waits for the first."""
        if not download:
            raise ConfigError(
                f"There is no folder {str(self._root / self.folder)!r}; data.download=true "
                f"downloads {self.name} into data.root={str(self._root)!r}."
            )
        self._root.mkdir(parents=True, exist_ok=True)
        with FileLock(self._root / ".download.lock"):
            if (self._root / self.folder).is_dir():
                return
            with tempfile.TemporaryDirectory(dir=self._root) as scratch, self._explained():
                getattr(torchvision().datasets, self.name)(scratch, download=True)
                (Path(scratch) / self.folder).rename(self._root / self.folder)

    def check(self) -> None:
        super().check()
        folder = self._root / self.folder
        if not any(path.is_file() for path in folder.rglob("*")):
            raise ConfigError(
                f"The folder {str(folder)!r} has no files; delete it, and data.download=true "
                f"downloads {self.name} again."
            )

    def kind(self) -> TargetKind:
        return "classes"

    def load(self, *, train: bool) -> tuple[Tensor, Tensor]:
        with self._explained():
            dataset = getattr(torchvision().datasets, self.name)(str(self._root), train=train)
        images = torch.as_tensor(dataset.data)  # (N, H, W) or (N, H, W, C)
        labels = torch.as_tensor(dataset.targets)
        check_targets(labels, self.classes)
        images = images.view(*images.shape[:3], len(self.mean))
        return images.permute(0, 3, 1, 2).contiguous(), labels

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turns torchvision's errors about missing or corrupt files into ConfigError."""
        try:
            yield
        except (RuntimeError, OSError, ValueError, EOFError) as error:
            raise ConfigError(
                f"{self.name} could not be read into {str(self._root / self.folder)!r} "
                f"({one_line(error)}). If the folder is there, it is incomplete: delete it, and "
                "data.download=true downloads it again."
            ) from error

    def split(self, inputs: Tensor, targets: Tensor) -> Split:
        return TensorSplit(fit(inputs, self.shape), targets, Normalize(self.mean, self.std))


@final
class MNIST(Downloadable):
    """Handwritten digits, 28 x 28: 60,000 + 10,000 images (http://yann.lecun.com/exdb/mnist)."""

    name = "MNIST"
    count = 60_000
    folder = "MNIST"
    labels = 10
    mean = (0.1307,)
    std = (0.3081,)


@final
class FashionMNIST(Downloadable):
    """Clothing articles, 28 x 28: 60,000 + 10,000 images (https://arxiv.org/abs/1708.07747)."""

    name = "FashionMNIST"
    count = 60_000
    folder = "FashionMNIST"
    labels = 10
    mean = (0.2860,)
    std = (0.3530,)


@final
class CIFAR10(Downloadable):
    """Photographs, 32 x 32: 50,000 + 10,000 (https://www.cs.toronto.edu/~kriz/cifar.html)."""

    name = "CIFAR10"
    count = 50_000
    folder = "cifar-10-batches-py"
    labels = 10
    mean = (0.4914, 0.4822, 0.4465)
    std = (0.2470, 0.2435, 0.2616)


@final
class CIFAR100(Downloadable):
    """Photographs like those of CIFAR-10, with 100 classes."""

    name = "CIFAR100"
    count = 50_000
    folder = "cifar-100-python"
    labels = 100
    mean = (0.5071, 0.4865, 0.4409)
    std = (0.2673, 0.2564, 0.2762)


@final
class ImageFolder(HoldoutData):
    """Images in one folder per class, below `root/train`, `root/test` and optionally `root/val`."""

    def __init__(
        self,
        root: str,
        shape: Sequence[int],
        classes: int,
        validation: float,
        seed: int,
        mean: Sequence[float],
        std: Sequence[float],
        loader_workers: int,
    ) -> None:
        """Holds out the fraction `validation` of `train`, picked by `seed`, unless `val` exists.
        `mean` and `std` are per channel; `loader_workers` is a number of processes (0: this
        one)."""
        super().__init__(shape, classes, validation, seed)
        check_image_shape(shape, channels=1 if tuple(shape[:1]) == (1,) else 3)
        require(loader_workers >= 0, "data.loader_workers", loader_workers, "0 or more")
        for key, values in (("mean", mean), ("std", std)):
            if len(values) != shape[0]:
                raise ConfigError(f"data.{key} is {list(values)}; it needs {shape[0]} numbers.")
        if min(std) <= 0:
            raise ConfigError(f"data.std is {list(std)}; its numbers must be above 0.")
        self._root = Path(root)
        self._normalize = Normalize(mean, std)
        self._workers = loader_workers
        for part in ("train", "test"):
            if not (self._root / part).is_dir():
                raise ConfigError(
                    f"There is no folder {str(self._root / part)!r}; put one folder of images per "
                    "class there, or set data.root."
                )
            self._check_classes(part)
        torchvision()

    def check(self) -> None:
        validates = (self._root / "val").is_dir()
        for part in ("train", "test", *(["val"] if validates else [])):
            self._check_classes(part)
            for folder in sorted(_folders(self._root / part)):
                if next(_images(self._root / part / folder), None) is None:
                    raise ConfigError(
                        f"The folder {str(self._root / part / folder)!r} has no images; each class "
                        "needs some."
                    )
        if not validates:
            self._check_held()

    def _check_held(self) -> None:
        """Raises ConfigError if a part has no examples; counts only as many as it takes."""
        count = 0
        for count, _ in enumerate(_images(self._root / "train"), start=1):
            if 0 < round(self.validation * count) < count:
                return
        check_parts(count, self.validation)

    def kind(self) -> TargetKind:
        return "classes"

    def load_search(self) -> SearchData:
        train = self._open("train")
        if (self._root / "val").is_dir():
            return SearchData(self._split(train), self._split(self._open("val")))
        kept, held = holdout(torch.tensor(train.targets), self.validation, self.seed)
        return SearchData(
            train=self._split(Subset(train, kept.tolist())),
            validation=self._split(Subset(train, held.tolist())),
        )

    def load_test(self) -> Split:
        return self._split(self._open("test"))

    def _open(self, part: str) -> Any:
        """Returns torchvision's data set of a part, with images as bytes (C, H, W)."""
        steps = torchvision().transforms
        gray = [steps.Grayscale()] if self.shape[0] == 1 else []
        transform = steps.Compose([*gray, steps.Resize(self.shape[1:]), steps.PILToTensor()])
        self._check_classes(part)
        try:
            return torchvision().datasets.ImageFolder(str(self._root / part), transform)
        except FileNotFoundError as error:  # a folder without images
            raise ConfigError(one_line(error)) from error

    def _check_classes(self, part: str) -> None:
        """Raises ConfigError unless a part has the same class folders as `train`."""
        found, wanted = _folders(self._root / part), _folders(self._root / "train")
        if len(wanted) != self.classes:
            raise ConfigError(
                f"data.classes is {self.classes}, but {str(self._root / 'train')!r} has "
                f"{len(wanted)} class folders."
            )
        if found != wanted:
            raise ConfigError(
                f"{str(self._root / part)!r} and {str(self._root / 'train')!r} must have the same "
                f"class folders; only one of them has {sorted(found ^ wanted)}."
            )

    def _split(self, dataset: Dataset[Any]) -> Split:
        return DatasetSplit(dataset, self.classes, self._workers, self._normalize)


def _folders(path: Path) -> set[str]:
    return {entry.name for entry in path.iterdir() if entry.is_dir()}


def _images(folder: Path) -> Iterator[Path]:
    """Yields the files below a folder that torchvision takes for images."""
    known = torchvision().datasets.folder.IMG_EXTENSIONS
    return (path for path in folder.rglob("*") if path.suffix.lower() in known)
