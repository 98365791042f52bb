"""Training by a LightningModule: its steps, its optimizer, and what it logs."""

from typing import Any

import lightning
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy


class Classifier(lightning.LightningModule):
    """Classification by the model of a trial."""

    def __init__(self, model: nn.Module, lr: float = 0.003) -> None:
        super().__init__()
        self.model = model
        self.lr = lr

    def forward(self, x: Tensor) -> Any:
        return self.model(x)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        inputs, targets = batch
        loss = cross_entropy(self(inputs), targets)
        self.log("train/loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self._log_accuracy(batch, "val/accuracy")

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self._log_accuracy(batch, "test/accuracy")

    def _log_accuracy(self, batch: Any, name: str) -> None:
        inputs, targets = batch
        self.log(name, (self(inputs).argmax(1) == targets).float().mean())

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.lr)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.trainer.max_epochs)
        return [optimizer], [schedule]
