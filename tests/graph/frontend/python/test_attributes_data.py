"""Assignments of the data of parameters and buffers, as in moving averages of weights."""

from source_rows import each

ROWS = """
# a parameter's data
self.weight.data = self.weight.data * 0.5 + n
return x * self.weight

# a buffer's data
self.seen.data = x.mean(0)
return x + self.seen

# before and after
before = self.weight * 1
self.weight.data = x[0]
return before, self.weight * 1

# in place
self.weight.data += n
self.weight.data *= 2
self.weight.data[0] = 5.0
return x * self.weight

# another name for it
w = self.weight
self.weight.data = x[0] + n
return w * x

# all parameters of a layer
for p, q in zip(self.lin.parameters(), self.twin.parameters()):
    p.data = p.data * 0.9 + q.data * (1.0 - 0.9)
return self.lin(x), self.twin(x)

# of a layer, if trained
if on:
    with torch.no_grad():
        self.lin.weight.data = self.lin.weight.data + n
return self.lin(x)

# in a method
| def move(self, m):
|     for p, q in zip(self.lin.parameters(), self.twin.parameters()):
|         p.data = p.data * m + q.data * (1 - m)
self.move(0.5)
self.move(n / 4)
return self.lin(x)
"""


@each(ROWS)
def test_the_data_of_a_tensor_of_the_model_is_replaced(reads, body):
    init = "self.twin = nn.Linear(3, 3)" if "self.twin" in body else ""
    reads(body, init=init)
    reads(body, init=init, again=True)


REFUSED = """
# a tensor that is no part of the model
ONES.data = x[0]  # <- it sets 'data' of an object that the graph does not contain
return x + ONES

# another attribute of a parameter
self.weight.requires_grad = on  # <- it sets 'requires_grad' of an object that the graph does not
return x * self.weight
"""


@each(REFUSED)
def test_other_tensors_are_not_changed(refuses, body):
    refuses(body, head="ONES = torch.ones(3)\n", compare=False)
