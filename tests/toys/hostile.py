"""A space whose labels and candidates try to become code, paths, or markup."""

from toy import Arithmetic

from runner import nn

STRINGS = [
    "plain", "'", '"', '"""', "'''", "\\", "\n", "\r\n", "{x}", "%s", "${seed}", "\u202eedoc",
    '"""\nimport os\nos.system("touch owned")\n"""', "'); __import__('os').system('touch owned') #",
    "<script>alert(1)</script>", "../../owned", "\x00", "\u2028", "é\ud7ff", "{'a': 1}", "a" * 300,
]  # fmt: skip
LABELS = ["'); quit() #", '"""\nquit()\n"""', "../../label", "<b>label</b>", "\u202elabel"]


class Hostile(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.text = nn.ValueChoice(STRINGS, label="text")
        self.others = [nn.ValueChoice([label, 1], label=label) for label in LABELS]
        self.layer = nn.Linear(1, 2)
        self.width = STRINGS.index(self.text)
        self.kernel, self.skip = 0, False

    def forward(self, x):
        return self.layer(x)


class NamesIt(Arithmetic):
    """Reports its metrics by a hostile name as well."""

    def measure(self, model, seed, epoch):
        metrics = super().measure(model, seed, epoch)
        return {**metrics, STRINGS[12]: metrics["val/accuracy"]}
