"""Networks for sequences: language models, inference, and forecasting."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from programs.case import floats, ints, program


class Encoder(nn.Module):
    """Reads a sentence by a recurrent layer."""

    def __init__(self, config: dict[str, int]):
        super().__init__()
        self.rnn = nn.LSTM(
            input_size=config["d_proj"],
            hidden_size=config["d_hidden"],
            num_layers=config["n_layers"],
            bidirectional=config["birnn"] > 0,
        )
        self.n_cells = config["n_layers"] * (2 if config["birnn"] else 1)
        self.d_hidden = config["d_hidden"]
        self.birnn = config["birnn"] > 0

    def forward(self, inputs):
        batch_size = inputs.size()[1]
        state_shape = self.n_cells, batch_size, self.d_hidden
        h0 = c0 = inputs.new_zeros(state_shape)
        outputs, (ht, ct) = self.rnn(inputs, (h0, c0))  # noqa: RUF059
        if not self.birnn:
            return ht[-1]
        return ht[-2:].transpose(0, 1).contiguous().view(batch_size, -1)


class Projection(nn.Linear):
    """A linear layer over the last dimension of a whole batch."""

    def forward(self, input):
        if len(input.size()) <= 2:
            return F.linear(input, self.weight, self.bias)
        size = input.size()[:2]
        out = F.linear(input.view(size[0] * size[1], -1), self.weight, self.bias)
        return out.view(size[0], size[1], -1)


@program(ints(20, 5, 3), ints(20, 4, 3), init=(0,))
@program(ints(20, 5, 3), ints(20, 4, 3), init=(1,))
class SNLI(nn.Module):
    """Does one sentence follow from the other? One activation and one dropout in many places."""

    def __init__(self, birnn: int):
        super().__init__()
        config = {"d_proj": 6, "d_hidden": 4, "n_layers": 2, "birnn": birnn}
        self.embed = nn.Embedding(20, 5)
        self.projection = Projection(5, 6)
        self.encoder = Encoder(config)
        self.dropout = nn.Dropout(p=0.1)
        self.relu = nn.ReLU()
        width = 16 if birnn else 8
        self.out = nn.Sequential(
            Projection(width, width),
            self.relu,
            self.dropout,
            Projection(width, width),
            self.relu,
            self.dropout,
            Projection(width, 3),
        )
        self.fix_emb = True

    def forward(self, premise, hypothesis):
        prem_embed = self.embed(premise)
        hypo_embed = self.embed(hypothesis)
        if self.fix_emb:
            prem_embed = prem_embed.detach()
            hypo_embed = hypo_embed.detach()
        prem_embed = self.relu(self.projection(prem_embed))
        hypo_embed = self.relu(self.projection(hypo_embed))
        scores = self.out(torch.cat([self.encoder(prem_embed), self.encoder(hypo_embed)], 1))
        return scores  # noqa: RET504


class Sequence(nn.Module):
    """Reads a wave by two cells, then goes on by itself."""

    def __init__(self):
        super().__init__()
        self.lstm1 = nn.LSTMCell(1, 6)
        self.lstm2 = nn.LSTMCell(6, 6)
        self.linear = nn.Linear(6, 1)

    def forward(self, input, future: int = 2):
        outputs = torch.empty((3, 0))
        h_t = torch.zeros((3, 6))
        c_t = torch.zeros((3, 6))
        h_t2, c_t2 = h_t, c_t
        output = torch.zeros([3, 1])
        for input_t in input.chunk(input.size(1), dim=1):
            h_t, c_t = self.lstm1(input_t, (h_t, c_t))
            h_t2, c_t2 = self.lstm2(h_t, (h_t2, c_t2))
            output = self.linear(h_t2)
            outputs = torch.cat((outputs, output), 1)
        for _ in range(future):
            h_t, c_t = self.lstm1(output, (h_t, c_t))
            h_t2, c_t2 = self.lstm2(h_t, (h_t2, c_t2))
            output = self.linear(h_t2)
            outputs = torch.cat((outputs, output), 1)
        return outputs


@program(floats(3, 4))
class TimeSequence(nn.Module):
    """Calls the forward of its child by name."""

    def __init__(self):
        super().__init__()
        self.seq = Sequence()

    def forward(self, input):
        return self.seq.forward(input), self.seq(input, future=1)


@program(ints(9, 4, 2), floats(2, 2, 5), init=("RNN_TANH",))
@program(ints(9, 4, 2), floats(2, 2, 5), init=("RNN_RELU",))
@program(ints(9, 4, 2), floats(2, 2, 5), init=("GRU",))
class RecurrentLanguageModel(nn.Module):
    """A word language model; its decoder may be tied to its embedding."""

    def __init__(self, kind: str, tied: bool = False):
        super().__init__()
        self.drop = nn.Dropout(0.2)
        self.encoder = nn.Embedding(9, 5)
        if kind == "GRU":
            self.rnn = nn.GRU(5, 5, 2, dropout=0.2)
        else:
            nonlinearity = {"RNN_TANH": "tanh", "RNN_RELU": "relu"}[kind]
            self.rnn = nn.RNN(5, 5, 2, nonlinearity=nonlinearity, dropout=0.2)
        self.decoder = nn.Linear(5, 9)
        if tied:
            self.decoder.weight = self.encoder.weight
        nn.init.uniform_(self.encoder.weight, -0.1, 0.1)
        nn.init.zeros_(self.decoder.bias)

    def forward(self, input, hidden):
        emb = self.drop(self.encoder(input))
        output, hidden = self.rnn(emb, hidden)
        output = self.drop(output)
        flat = output.view(output.size(0) * output.size(1), output.size(2))
        decoded = self.decoder(flat)
        return F.log_softmax(decoded.view(output.size(0), output.size(1), -1), dim=-1), hidden


@program(ints(9, 4, 2), (floats(2, 2, 5), floats(2, 2, 5)), init=(False,))
@program(ints(9, 4, 2), (floats(2, 2, 5), floats(2, 2, 5)), init=(True,))
class LSTMLanguageModel(nn.Module):
    """The same with two states."""

    def __init__(self, tied: bool):
        super().__init__()
        self.drop = nn.Dropout(0.2)
        self.encoder = nn.Embedding(9, 5)
        self.rnn = nn.LSTM(5, 5, 2, dropout=0.2)
        self.decoder = nn.Linear(5, 9)
        if tied:
            self.decoder.weight = self.encoder.weight

    def forward(self, input, hidden: tuple[Tensor, Tensor]):
        output, hidden = self.rnn(self.drop(self.encoder(input)), hidden)
        return self.decoder(self.drop(output)), hidden


class PositionalEncoding(nn.Module):
    """Sines and cosines in a buffer."""

    pe: Tensor

    def __init__(self, width: int, length: int = 10):
        super().__init__()
        pe = torch.zeros(length, width)
        position = torch.arange(0, length, dtype=torch.float).unsqueeze(1)
        rates = torch.exp(torch.arange(0, width, 2).float() * (-math.log(10000.0) / width))
        pe[:, 0::2] = torch.sin(position * rates)
        pe[:, 1::2] = torch.cos(position * rates)
        self.register_buffer("pe", pe.unsqueeze(1))

    def forward(self, x):
        return x + self.pe[: x.size(0), :]


@program(ints(9, 5, 2), True)
@program(ints(9, 5, 2), False)
class TransformerLanguageModel(nn.Module):
    """Looks back only, where asked."""

    def __init__(self):
        super().__init__()
        self.input_emb = nn.Embedding(9, 8)
        self.pos_encoder = PositionalEncoding(8)
        layer = nn.TransformerEncoderLayer(8, 2, 12, 0.1)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.decoder = nn.Linear(8, 9)

    def mask(self, size: int) -> Tensor:
        return torch.log(torch.tril(torch.ones(size, size)))

    def forward(self, src, has_mask: bool):
        mask: Tensor | None = None
        if has_mask:
            mask = self.mask(src.size(0))
        x = self.pos_encoder(self.input_emb(src) * math.sqrt(8))
        return F.log_softmax(self.decoder(self.encoder(x, mask=mask)), dim=-1)


class Block(nn.Module):
    """Attention with everything written out."""

    def __init__(self, width: int, heads: int, length: int):
        super().__init__()
        self.heads = heads
        self.attn = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.ln_1 = nn.LayerNorm(width)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width), nn.Dropout(0.1)
        )
        self.register_buffer("bias", torch.tril(torch.ones(length, length))[None, None])

    def forward(self, x):
        B, T, C = x.size()
        q, k, v = self.attn(self.ln_1(x)).split(C, dim=2)
        k = k.view(B, T, self.heads, C // self.heads).transpose(1, 2)
        q = q.view(B, T, self.heads, C // self.heads).transpose(1, 2)
        v = v.view(B, T, self.heads, C // self.heads).transpose(1, 2)
        att = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
        att = att.masked_fill(self.bias[:, :, :T, :T] == 0, float("-inf"))
        y = F.softmax(att, dim=-1) @ v
        x = x + self.proj(y.transpose(1, 2).contiguous().view(B, T, C))
        return x + self.mlp(self.ln_2(x))


@program(ints(9, 2, 6))
@program(ints(9, 2, 6), ints(9, 2, 6))
class GPT(nn.Module):
    """With a loss where targets are given."""

    def __init__(self):
        super().__init__()
        self.wte = nn.Embedding(9, 8)
        self.wpe = nn.Embedding(6, 8)
        self.h = nn.ModuleList([Block(8, 2, 6) for _ in range(2)])
        self.head = nn.Linear(8, 9, bias=False)
        self.wte.weight = self.head.weight

    def forward(self, idx, targets: Tensor | None = None):
        T = idx.size(1)
        x = self.wte(idx) + self.wpe(torch.arange(T, device=idx.device))
        for block in self.h:
            x = block(x)
        logits = self.head(x)
        loss: Tensor | None = None
        if targets is not None:
            loss = F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))
        return logits, loss


@program(ints(20, 3, 6), ints(5, 3) + 1)
class Classifier(nn.Module):
    """The mean of the words that are there."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(20, 4, padding_idx=0)
        self.gru = nn.GRU(4, 3, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(6, 2)

    def forward(self, tokens, lengths):
        out, _ = self.gru(self.embed(tokens))
        mask = torch.arange(tokens.size(1))[None, :] < lengths[:, None]
        pooled = (out * mask.unsqueeze(-1)).sum(1) / lengths.unsqueeze(-1).clamp(min=1)
        return self.fc(pooled)
