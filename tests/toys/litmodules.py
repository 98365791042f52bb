"""LightningModules of users, for `evaluator=lightning`. Needs that package."""

from typing import Any

import lightning
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader, TensorDataset


class Plain(lightning.LightningModule):
    """Takes the model by its name, and logs in steps and at the end of epochs."""

    def __init__(self, model: nn.Module, lr: float = 0.05) -> None:
        super().__init__()
        self.model = model
        self.lr = lr

    def loss(self, batch: Any) -> Tensor:
        inputs, targets = batch
        return mse_loss(self.model(inputs), targets)

    def training_step(self, batch: Any, place: int) -> Tensor:
        loss = self.loss(batch)
        self.log("train/loss", loss, on_step=True, on_epoch=True)
        return loss

    def validation_step(self, batch: Any, place: int) -> None:
        self.log("val/mse", self.loss(batch))

    def test_step(self, batch: Any, place: int) -> None:
        self.log("test_mse", self.loss(batch))

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=self.lr)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)]


class Late(Plain):
    """Logs where an epoch ends."""

    def on_train_epoch_end(self) -> None:
        self.log("epochs", float(self.current_epoch + 1))


class First(Plain):
    """Takes the model as the first argument, under another name."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__(net)


class OfNNI(Plain):
    """Is given the model once it is made, as modules for NNI are."""

    def __init__(self, lr: float = 0.05) -> None:
        lightning.LightningModule.__init__(self)
        self.lr = lr

    def set_model(self, model: nn.Module) -> None:
        self._model = model

    @property
    def model(self) -> nn.Module:
        return self._model


class Assigned(Plain):
    """Uses `self.model`, which is assigned."""

    def __init__(self) -> None:
        lightning.LightningModule.__init__(self)
        self.lr = 0.05


class WithLoaders(Plain):
    """Has data of its own."""

    def train_dataloader(self) -> Any:
        return DataLoader(TensorDataset(torch.ones(3, 4), torch.ones(3, 1)))

    def on_train_batch_end(self, outputs: Any, batch: Any, place: int) -> None:
        self.log("examples", float(len(batch[0])), reduce_fx="sum", on_step=False, on_epoch=True)


class TrainingOnly(lightning.LightningModule):
    """Has no validation and no test."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def training_step(self, batch: Any, place: int) -> Tensor:
        loss = self.model(batch[0]).square().mean()
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Silent(Plain):
    """Logs nothing."""

    def log(self, *args: Any, **kwargs: Any) -> None:
        """Forgets it."""


class Diverging(Plain):
    def training_step(self, batch: Any, place: int) -> Tensor:
        return super().training_step(batch, place) * (float("nan") if self.current_epoch else 1)

    def validation_step(self, batch: Any, place: int) -> None:
        self.log("val/loss", self.loss(batch))


class Broken(Plain):
    def training_step(self, batch: Any, place: int) -> Tensor:
        raise ValueError("not today")


class Interrupting(Plain):
    def training_step(self, batch: Any, place: int) -> Tensor:
        raise KeyboardInterrupt("by hand")
