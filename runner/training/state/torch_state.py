"""The settings of torch and numpy that a trial may leave changed."""

import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, final

import numpy
import torch
from torch.nn.modules import module as nn_module
from torch.optim import optimizer as optim_module
from torch.utils import _device as default_device

from runner.training.state.process_setting import ProcessSetting

# Pairs of a getter and a setter in torch's C code that are no setting of later trials.
NOT_SETTINGS = ("thread_name", "tracing_state", "graph_exec_group", "qengine", "tensor_metadata",
                "value_trace", "dispatch_mode", "torch_function_state", "deterministic_algorithms",
                "generator_metaclass")  # fmt: skip
PRECISIONS = [("generic", "all"), *((backend, operator) for backend in ("cuda", "mkldnn")
              for operator in ("all", "matmul", "conv", "rnn"))]  # fmt: skip
ATTENTION = {"flash": "flash", "mem_efficient": "mem_efficient", "math": "math",
             "cudnn": "cudnn", "overrideable": "overrideable", "fa3": "fa3"}  # fmt: skip
SMALLEST = sys.float_info.min  # the half of it is no normal number
C: Any = torch._C


def torch_settings() -> list[ProcessSetting]:
    """Returns the settings of torch and numpy; modes first, since they change what calls do."""
    return [
        *_of_modes(),
        *_of_tensors(),
        *_of_gradients(),
        *_of_precision(),
        *_of_autocast(),
        *_of_hooks(),
        *_in_pairs(),
        *_of_numpy(),
        *_of_torch(),
    ]


def _of_modes() -> Iterator[ProcessSetting]:
    yield ProcessSetting("functorch transforms", C._functorch.get_dynamic_layer_stack_depth,
                         C._functorch.pop_dynamic_layer_stack_and_undo_to_depth)  # fmt: skip
    yield ProcessSetting("dispatch modes", _dispatch_modes, _set_dispatch_modes)
    yield ProcessSetting("the default device and function modes", _function_modes,
                         _set_function_modes)  # fmt: skip
    yield ProcessSetting("overriding of functions", C._get_torch_function_state,
                         C._set_torch_function_state)  # fmt: skip


def _dispatch_modes() -> list[Any]:
    return [C._get_dispatch_stack_at(i) for i in range(C._len_torch_dispatch_stack())]


def _set_dispatch_modes(before: list[Any]) -> None:
    from torch.utils._python_dispatch import _pop_mode

    while C._len_torch_dispatch_stack() > len(before):
        _pop_mode(getattr(_dispatch_modes()[-1], "_mode_key", None))
    C._set_only_lift_cpu_tensors(False)


def _function_modes() -> tuple[Any, ...]:
    held = getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)
    stack = [C._get_function_stack_at(i) for i in range(C._len_torch_function_stack())]
    return stack, held, default_device.CURRENT_DEVICE


def _set_function_modes(before: tuple[Any, ...]) -> None:
    stack, held, default_device.CURRENT_DEVICE = before
    torch._GLOBAL_DEVICE_CONTEXT.device_context = held
    while C._len_torch_function_stack():
        C._pop_torch_function_stack()
    for mode in stack:
        C._push_on_torch_function_stack(mode)


def _of_tensors() -> Iterator[ProcessSetting]:
    yield ProcessSetting("the default tensor type", _tensor_type, C._set_default_tensor_type)
    yield ProcessSetting("the default dtype", torch.get_default_dtype, torch.set_default_dtype)
    yield ProcessSetting("denormal numbers", lambda: SMALLEST / 2 == 0.0, torch.set_flush_denormal)


def _tensor_type() -> Any:
    kinds = {torch.float32: "FloatTensor", torch.float64: "DoubleTensor",
             torch.float16: "HalfTensor", torch.bfloat16: "BFloat16Tensor"}  # fmt: skip
    device = C._get_default_device().partition(":")[0]
    holder = torch if device == "cpu" else getattr(torch, device)
    return getattr(holder, kinds[torch.get_default_dtype()])


def _of_gradients() -> Iterator[ProcessSetting]:
    disabled: list[Any] = []  # guards that would undo themselves if they were freed

    def set_inference(before: bool) -> None:
        disabled.append(C._InferenceMode(before))

    yield ProcessSetting("inference mode", torch.is_inference_mode_enabled, set_inference)
    yield ProcessSetting("grad mode", torch.is_grad_enabled, C._set_grad_enabled)
    yield ProcessSetting("forward grad mode", C._is_fwd_grad_enabled, C._set_fwd_grad_enabled)
    yield ProcessSetting("threads of backward", C._is_multithreading_enabled,
                         C._set_multithreading_enabled)  # fmt: skip
    yield ProcessSetting("replay of views", C._is_view_replay_enabled, C._set_view_replay_enabled)
    yield ProcessSetting("anomaly detection",
                         lambda: (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
                         lambda before: C.set_anomaly_enabled(*before))  # fmt: skip
    yield ProcessSetting("hooks of saved tensors",
                         lambda: C._autograd._top_saved_tensors_default_hooks(False),
                         _pop_saved_tensor_hooks)  # fmt: skip
    saving = C._autograd
    yield ProcessSetting("saving of tensors", saving._saved_tensors_hooks_is_enabled,
                         lambda before: saving._saved_tensors_hooks_enable())  # fmt: skip
    levels: Any = torch.autograd.forward_ad
    yield ProcessSetting("the level of forward gradients", lambda: levels._current_level,
                         lambda before: levels.exit_dual_level())  # fmt: skip


def _pop_saved_tensor_hooks(before: Any) -> None:
    while C._autograd._top_saved_tensors_default_hooks(False) not in (before, None):
        C._autograd._pop_saved_tensors_default_hooks()


def _of_precision() -> Iterator[ProcessSetting]:
    if hasattr(C, "_get_fp32_precision_getter"):
        for place in PRECISIONS:
            yield ProcessSetting(f"precision of {' '.join(place)}",
                                 partial(C._get_fp32_precision_getter, *place),
                                 partial(C._set_fp32_precision_setter, *place))  # fmt: skip
    yield ProcessSetting("deterministic algorithms",
                         lambda: (torch.are_deterministic_algorithms_enabled(),
                                  torch.is_deterministic_algorithms_warn_only_enabled()),
                         lambda before: C._set_deterministic_algorithms(
                             before[0], warn_only=before[1]))  # fmt: skip
    for name, setter in ATTENTION.items():
        read = getattr(C, f"_get_{name}_sdp_enabled", None)
        write = getattr(C, f"_set_sdp_use_{setter}", None)
        if read is not None and write is not None:
            yield ProcessSetting(f"attention by {name}", read, write)


def _of_autocast() -> Iterator[ProcessSetting]:
    for device in {"cpu", "cuda", _accelerator()}:
        yield ProcessSetting(f"autocast on {device}", partial(torch.is_autocast_enabled, device),
                             partial(torch.set_autocast_enabled, device))  # fmt: skip
        yield ProcessSetting(f"the autocast dtype on {device}",
                             partial(torch.get_autocast_dtype, device),
                             partial(torch.set_autocast_dtype, device))  # fmt: skip
    yield ProcessSetting("the autocast cache", torch.is_autocast_cache_enabled,
                         torch.set_autocast_cache_enabled)  # fmt: skip
    yield ProcessSetting("the depth of autocast", _autocast_depth, _set_autocast_depth)


def _accelerator() -> str:
    found = torch.accelerator.current_accelerator()
    return "cpu" if found is None else found.type


def _autocast_depth() -> int:
    depth = torch.autocast_increment_nesting() - 1
    torch.autocast_decrement_nesting()
    return depth


def _set_autocast_depth(before: int) -> None:
    while _autocast_depth() > before:
        torch.autocast_decrement_nesting()
    torch.clear_autocast_cache()


def _of_hooks() -> Iterator[ProcessSetting]:
    """Yields the hooks of all modules and of all optimizers."""
    for holder in (nn_module, optim_module):
        for name, hooks in vars(holder).items():
            if name.startswith("_global_") and isinstance(hooks, dict):
                yield ProcessSetting(f"{name.strip('_').replace('_', ' ')}",
                                     partial(dict, hooks), partial(_refill, hooks))  # fmt: skip
    yield _attribute_of(nn_module, "_global_is_full_backward_hook")


def _refill(hooks: dict[Any, Any], before: dict[Any, Any]) -> None:
    hooks.clear()
    hooks.update(before)


def _attribute_of(holder: Any, name: str) -> ProcessSetting:
    label = f"{holder.__name__}.{name}"
    return ProcessSetting(label, lambda: getattr(holder, name), partial(setattr, holder, name))


def _in_pairs() -> Iterator[ProcessSetting]:
    """Yields the settings for which torch's C code has a getter and a setter of one name, such as
    those of cuDNN and of matrix products."""
    for setter in dir(C):
        name = setter.removeprefix("_set_")
        read = getattr(C, f"_get_{name}", None)
        if name != setter and read is not None and name not in NOT_SETTINGS and _reads(read):
            yield ProcessSetting(name.replace("_", " "), read, partial(_write, getattr(C, setter)))


def _reads(read: Callable[[], object]) -> bool:
    try:
        read()
    except (RuntimeError, TypeError):
        return False
    return True


def _write(write: Callable[..., object], before: Any) -> None:
    write(*before) if isinstance(before, tuple) else write(before)


def _of_numpy() -> Iterator[ProcessSetting]:
    yield ProcessSetting("errors of numpy", numpy.geterr, lambda before: numpy.seterr(**before))
    yield ProcessSetting("error calls of numpy", numpy.geterrcall, numpy.seterrcall)
    yield ProcessSetting("the buffer of numpy", numpy.getbufsize, numpy.setbufsize)
    yield ProcessSetting("print options of numpy", numpy.get_printoptions,
                         lambda before: numpy.set_printoptions(**before))  # fmt: skip


def _of_torch() -> Iterator[ProcessSetting]:
    yield ProcessSetting("the number of threads", torch.get_num_threads, torch.set_num_threads)
    yield ProcessSetting("the number of interop threads", torch.get_num_interop_threads,
                         torch.set_num_interop_threads)  # fmt: skip
    options = torch._tensor_str.PRINT_OPTS
    yield ProcessSetting("print options of torch", lambda: dict(vars(options)),
                         lambda before: vars(options).update(before))  # fmt: skip
    yield ProcessSetting("how parameters are swapped",
                         torch.__future__.get_swap_module_params_on_conversion,
                         torch.__future__.set_swap_module_params_on_conversion)  # fmt: skip
    yield ProcessSetting("how parameters are overwritten",
                         torch.__future__.get_overwrite_module_params_on_conversion,
                         torch.__future__.set_overwrite_module_params_on_conversion)  # fmt: skip
    yield ProcessSetting("checks of sparse tensors",
                         torch.sparse.check_sparse_tensor_invariants.is_enabled,
                         C._set_check_sparse_tensor_invariants)  # fmt: skip
    yield ProcessSetting("checks of distributions",
                         lambda: torch.distributions.Distribution._validate_args,
                         torch.distributions.Distribution.set_default_validate_args)  # fmt: skip
    yield _attribute_of(torch.backends.opt_einsum, "enabled")
    yield _attribute_of(torch.backends.opt_einsum, "strategy")
    yield ProcessSetting("the sharing strategy", torch.multiprocessing.get_sharing_strategy,
                         torch.multiprocessing.set_sharing_strategy)  # fmt: skip
    yield ProcessSetting("a group of processes", _is_distributed,
                         lambda before: torch.distributed.destroy_process_group())  # fmt: skip
    yield ProcessSetting("replaced operators", OperatorCount().count, lambda before: None)
    if torch.cuda.is_available():
        yield ProcessSetting("the current GPU", _current_gpu, torch.cuda.set_device)
        yield ProcessSetting("the current stream", _current_stream, torch.cuda.set_stream,
                             lambda before, now: before is None)  # fmt: skip


def _is_distributed() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


@final
class OperatorCount:
    """Counts the implementations of torch's operators that were registered from Python. Those of
    others may be added by any import."""

    def __init__(self) -> None:
        self._seen = self._found = 0

    def count(self) -> int:
        known = torch.library._impls
        if len(known) != self._seen:
            self._seen = len(known)
            self._found = sum(key.startswith("aten/") for key in known)
        return self._found


def _current_gpu() -> int:
    cuda: Any = torch.cuda
    return cuda.current_device() if cuda.is_initialized() else 0


def _current_stream() -> Any:
    cuda: Any = torch.cuda
    return cuda.current_stream() if cuda.is_initialized() else None
