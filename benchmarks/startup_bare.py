"""What `startup.py` compares with: one epoch of an MLP on digits, as one would write it by hand."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import CosineAnnealingLR

EPOCHS, BATCH = 1, 64

torch.manual_seed(0)
torch.set_num_threads(1)
pixels, digits = load_digits(return_X_y=True)
images = torch.tensor(pixels, dtype=torch.float32)  # (N, 64)
labels = torch.tensor(digits)
order = torch.randperm(len(labels))
train, validation = order[:1150], order[1150:1437]
images = (images - images[train].mean()) / images[train].std()

model = nn.Sequential(nn.Linear(64, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Linear(128, 10))
optimizer = torch.optim.AdamW(model.parameters(), lr=0.003)
schedule = CosineAnnealingLR(optimizer, EPOCHS * (len(train) // BATCH))
for epoch in range(EPOCHS):
    model.train()
    shuffled = train[torch.randperm(len(train))]
    for batch in shuffled.split(BATCH):
        optimizer.zero_grad()
        cross_entropy(model(images[batch]), labels[batch]).backward()
        optimizer.step()
        schedule.step()
    model.eval()
    with torch.no_grad():
        found = model(images[validation]).argmax(1)
    print(f"epoch {epoch}: accuracy {(found == labels[validation]).float().mean():.4f}")
