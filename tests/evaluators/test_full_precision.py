"""TF32 is off in a block, and as it was behind it."""

import pytest
import torch

from runner.evaluators import full_precision as module
from runner.evaluators import fused_group
from runner.evaluators.full_precision import full_precision

cudnn, cublas = torch.backends.cudnn, torch.backends.cuda.matmul


@pytest.fixture(params=["by name", "by switch"])
def way(request, monkeypatch):
    """As torch sets precisions since 2.9, and as before."""
    if request.param == "by name" and not module._by_name():
        pytest.skip("this torch has switches only")
    monkeypatch.setattr(module, "_by_name", lambda: request.param == "by name")
    return request.param


@pytest.fixture(autouse=True)
def settings():
    before = cudnn.allow_tf32, cublas.allow_tf32
    yield
    cudnn.allow_tf32, cublas.allow_tf32 = before


def read():
    return torch._C._get_cublas_allow_tf32(), module._read()


@pytest.mark.parametrize("products", [True, False])
@pytest.mark.parametrize("convolutions", [True, False])
def test_settings_are_off_inside_and_restored(way, convolutions, products):
    cudnn.allow_tf32, cublas.allow_tf32 = convolutions, products
    before = read()
    with pytest.raises(ZeroDivisionError), full_precision():
        assert not any(value in ("tf32", True) for value in module._read())
        1 / 0  # noqa: B018
    assert read() == before
    assert (cudnn.allow_tf32, cublas.allow_tf32) == (convolutions, products)


def test_a_fused_group_is_compared_in_full_precision(monkeypatch):
    """Also its gradients, which are computed behind a generator."""
    found = []

    class Looks:
        _recipe = type("Recipe", (), {"precision": "fp32"})

        def _outputs(self, batch, *, together):
            found.append((together, module._read()))
            yield torch.ones(2)

        _gradients = _outputs

    cudnn.allow_tf32 = True
    assert fused_group.Fusion.mismatch(Looks(), None) == ""
    assert [together for together, _ in found] == [True, False] * 2
    assert not any(value in ("tf32", True) for _, values in found for value in values)
    assert any(value in ("tf32", True) for value in module._read())
