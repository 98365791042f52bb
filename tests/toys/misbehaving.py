"""Training functions that leave something behind, one per kind, and an honest one that would
notice: `evaluator.fn` of trials that share a worker."""

import collections
import copy
import ctypes
import decimal
import faulthandler
import functools
import gc
import hashlib
import json
import locale
import logging
import operator
import os
import pickle
import random
import resource
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import warnings
import zlib
from pathlib import Path

import late
import numpy
import safetensors.torch
import torch
import torch.nn.functional as F
import users_module
from torch import nn

from runner.data.data import Data, SearchData
from runner.data.splits import TensorSplit
from runner.evaluators.function import Reporter

KEPT = []  # what a function keeps alive


class Points(Data):
    """Points of two classes, loaded once."""

    _found = None

    def search(self):
        if self._found is None:
            x = torch.arange(64.0).view(32, 2) / 64
            train = TensorSplit(x, (x.sum(1) > 1).long())
            self._found = SearchData(train, TensorSplit(x.flip(0).clone(), torch.ones(32).long()))
        return self._found

    def test(self):
        return self.search().validation


def run(model, report, kind, seed, data):
    """Trains honestly, or misbehaves in one of the ways below."""
    if kind == "honest":
        report(honest(model, seed) | seen(data))
        return
    if kind in WITH_DATA:
        WITH_DATA[kind](data)
    else:
        WAYS[kind](report)
    report(0.5)


def honest(model, seed):
    """Trains a little with much of torch, and describes the process it runs in."""
    noticed = float(zlib.crc32(repr(state()).encode()))
    torch.optim.AdamW([torch.zeros(1)])  # torch wraps its step when it is first used
    net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3),
                        nn.Linear(8, 2))  # fmt: skip
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    x = torch.randn(32, 4) + random.random() + float(numpy.random.rand())
    y = torch.randint(0, 2, (32,))
    for _ in range(3):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(F.gelu(x)), y)
        loss.backward()
        optimizer.step()
    return {"val/accuracy": loss.item(), "first": next(model.parameters()).flatten()[0].item(),
            "state": noticed}  # fmt: skip


def seen(data):
    """Describes the data."""
    batches = [pair for split in (data.train, data.validation)
               for pair in split.batches(8, torch.device("cpu"))]  # fmt: skip
    return {"inputs": sum(x.sum().item() for x, _ in batches),
            "targets": sum(y.sum().item() for _, y in batches)}  # fmt: skip


def libraries():
    """What a training may use of the libraries around it."""
    net, one = nn.BatchNorm1d(2), torch.ones(1)
    return (torch.optim.SGD([one]).defaults["lr"], torch.optim.Adam([one]).defaults["betas"],
            torch.optim.lr_scheduler.StepLR(torch.optim.SGD([one]), 1).gamma, net.momentum, net.eps,
            nn.LayerNorm(2).eps, nn.Dropout().p, F.layer_norm(torch.ones(2), (2,)).tolist(),
            F.cross_entropy(torch.eye(2), torch.eye(2)).item(), F.pad(one, (1, 1)).tolist(),
            float(numpy.linalg.norm([3.0, 4.0])), operator.mul(2, 3), functools.partial(abs, -1)(),
            hashlib.sha256(b"x").hexdigest(), pickle.dumps(1), struct.pack("i", 1),
            sorted(collections.Counter("aab").items()),
            safetensors.torch.save({"x": torch.ones(1)}),
            len(torch.nn.utils.parameters_to_vector([one])),
            torch.utils.data.default_collate([1, 2]).tolist(), copy.copy([1]), json.dumps("é"),
            copy.deepcopy({1: [2]}), nn.Module.call_super_init,
            torch.linalg.norm(torch.ones(4)).item())  # fmt: skip


def state():
    """What later trials could notice of earlier ones; equal in all workers of a run."""
    mask = os.umask(0o22)
    os.umask(mask)
    print("an honest word", end="")
    sys.stdout.flush()
    names = sorted(set(os.environ) - {"RUNNER_WORKER"})
    return (str(Path.cwd()), names, mask, len(warnings.filters),
            sys.getrecursionlimit(), len(sys.path), sys.argv[:1], gc.isenabled(),
            gc.get_threshold(), torch.get_num_threads(), str(torch.get_default_dtype()),
            str(torch.get_default_device()), torch.is_grad_enabled(),
            torch.is_inference_mode_enabled(), torch.are_deterministic_algorithms_enabled(),
            torch.backends.cudnn.benchmark, torch.get_float32_matmul_precision(),
            torch.is_autocast_enabled("cpu"), logging.root.level, len(logging.root.handlers),
            str(signal.getsignal(signal.SIGTERM)), resource.getrlimit(resource.RLIMIT_NOFILE),
            locale.setlocale(locale.LC_ALL), decimal.getcontext().prec,
            decimal.DefaultContext.prec, numpy.geterr(),
            threading.active_count(), sys.gettrace() is None, socket.getdefaulttimeout(),
            len([*Path("/proc/self/fd").iterdir()]), abs(-1), len([1]), libraries(),
            users_module.noticed())  # fmt: skip


def _set(holder, name, value):
    setattr(holder, name, value)


def _wrong(*args, **kwargs):
    return torch.zeros(())


class _Mode(torch.overrides.TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        raise RuntimeError("a mode that was left")


class _Dispatch(torch.utils._python_dispatch.TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        raise RuntimeError("a dispatch mode that was left")


class Odd(BaseException):
    """No Exception."""


class Silent(Exception):
    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __str__


class Liar(Exception):
    @property
    def __class__(self):
        raise RuntimeError("no class")


class _Number:
    def __float__(self):
        raise KeyboardInterrupt


def _raise(error):
    raise error


def _chdir(report):
    folder = tempfile.mkdtemp()
    os.chdir(folder)
    Path(folder).rmdir()


def _thread(daemon):
    threading.Thread(target=time.sleep, args=(3600,), daemon=daemon).start()


def _raw_thread(report):
    import _thread

    _thread.start_new_thread(time.sleep, (3600,))


def _child(**given):
    KEPT.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"], **given))


def _fork_stays(report):
    if os.fork() == 0:
        time.sleep(3600)


def _fork_returns(report):
    if os.fork() == 0:
        return
    time.sleep(0.05)


def _daemon(report):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execvpe("sleep", ["sleep", "3600"], {"PATH": os.environ["PATH"]})
        os._exit(0)
    os.wait()


def _alarm(report):
    signal.signal(signal.SIGALRM, lambda *_: _raise(TimeoutError("an alarm of another trial")))
    signal.setitimer(signal.ITIMER_REAL, 3600)


def _closed(*names):
    for name in names:
        getattr(sys, name).close()


def _scribble(report):
    for fd in range(3, 300):
        try:
            os.write(fd, b"[garbage]\n")
        except OSError:
            continue


def _reuse(report):
    os.closerange(3, 4096)
    KEPT.extend(os.open(os.devnull, os.O_RDWR) for _ in range(300))


def _files(report):
    KEPT.extend(os.open(os.devnull, os.O_RDONLY) for _ in range(600))


def _hook(report):
    nn.modules.module.register_module_forward_hook(lambda *_: _raise(RuntimeError("a hook")))


def _code(report):
    F.gelu_ = F.relu
    F.relu.__code__ = (lambda input, inplace=False: input * 0).__code__


def _pthread_exit(report):
    _thread(False)
    ctypes.CDLL(None).pthread_exit(None)


def _many(report):
    report({f"m{i}": 1.0 for i in range(100_000)})


def _environment(report):
    os.environ.clear()
    os.environ["PYTHONPATH"] = "/nowhere"


def _logging(report):
    logging.disable(logging.CRITICAL)
    logging.getLogger("torch").setLevel(5)
    logging.root.addHandler(logging.NullHandler())


def _modules(report):
    sys.modules["torch.nn.functional"] = None
    del sys.modules["random"]


def _vmap(report):
    torch._C._functorch._vmap_increment_nesting(3, "error")


def _init(kind, *last, **named):
    """Changes the defaults of a constructor: the first ones, or those that are given by keyword."""
    before = kind.__init__.__defaults__ or ()
    kind.__init__.__defaults__ = (*last, *before[len(last) :])
    if named:
        kind.__init__.__kwdefaults__ = {**(kind.__init__.__kwdefaults__ or {}), **named}


def _keywords_in_place(report):
    torch.optim.SGD.__init__.__kwdefaults__["maximize"] = True
    torch.optim.Adam.__init__.__kwdefaults__.clear()


def _edit(split, what):
    for pair in split.batches(8, torch.device("cpu")):
        what(*pair)


def _report(report):
    before = Reporter.__call__
    Reporter.__call__ = lambda self, value: before(self, 0.25)


def _replace_code(function):
    function.__code__ = (lambda *args, **kwargs: None).__code__


WITH_DATA = {  # what is done to the data that the next trial is given
    "inputs of the data": lambda data: _edit(data.train, lambda x, y: x.mul_(0)),
    "targets of the data": lambda data: _edit(data.train, lambda x, y: y.zero_()),
    "validation data": lambda data: _edit(data.validation, lambda x, y: x.add_(1)),
    "values of the data": lambda data: _edit(data.train, lambda x, y: x.data.add_(1)),
    "memory of the data": lambda data: _edit(data.train, lambda x, y: x.numpy().fill(0)),
    "order of the data": lambda data: _edit(
        data.train, lambda x, y: numpy.random.shuffle(x.detach().numpy())),
    "inference on the data": lambda data: _edit(
        data.train, torch.inference_mode()(lambda x, y: x.neg_())),
    "a method of the data": lambda data: _set(data.train, "batches", lambda *_: iter(())),
    "a split of the data": lambda data: object.__setattr__(data, "train", data.validation),
    "tensors of the data": lambda data: _set(data.train, "_placed", {
        torch.device("cpu"): (torch.zeros(32, 2), torch.zeros(32))}),
    "batches of all splits": lambda data: _set(
        type(data.train), "batches", lambda *_: iter(())),
}  # fmt: skip
PUT_BACK = {  # what is restored
    "working directory": lambda report: os.chdir("/"),
    **dict.fromkeys(WITH_DATA),
    "defaults of SGD": lambda report: _init(torch.optim.SGD, 0.5, 0.9),
    "defaults of Adam": lambda report: _init(torch.optim.Adam, 0.5, (0.1, 0.1)),
    "defaults of a schedule": lambda report: _init(torch.optim.lr_scheduler.StepLR, 0.7),
    "defaults of BatchNorm": lambda report: _init(nn.BatchNorm1d, 0.5, 0.5),
    "defaults of LayerNorm": lambda report: _init(nn.LayerNorm, 0.5),
    "defaults of Dropout": lambda report: _init(nn.Dropout, 0.9),
    "keyword defaults of SGD": lambda report: _init(torch.optim.SGD, maximize=True),
    "keyword defaults in place": _keywords_in_place,
    "defaults of a function": lambda report: _set(F.layer_norm, "__defaults__", (None, None, 9.0)),
    "code of a layer": lambda report: _replace_code(nn.BatchNorm1d.forward),
    "code of an optimizer": lambda report: _replace_code(
        sys.modules["torch.optim.sgd"]._single_tensor_sgd),
    "a report": _report,
    "code of a report": lambda report: _set(
        Reporter.__call__, "__code__", (lambda self, value: (
            setattr(self, "calls", 1), self._run.report([{"val/accuracy": 0.25}]))).__code__),
    "numpy.linalg": lambda report: _set(numpy.linalg, "norm", lambda x: 0.0),
    "operator": lambda report: _set(operator, "mul", operator.add),
    "functools": lambda report: _set(functools, "partial", lambda *_: lambda: 7),
    "hashlib": lambda report: _set(hashlib, "sha256", hashlib.md5),
    "pickle": lambda report: _set(pickle, "dumps", lambda value: b""),
    "struct": lambda report: _set(struct, "pack", lambda *_: b""),
    "collections": lambda report: _set(collections, "Counter", dict.fromkeys),
    "method of collections": lambda report: _set(collections.Counter, "items", lambda self: []),
    "safetensors": lambda report: _set(safetensors.torch, "save", lambda _: b""),
    "torch.nn.utils": lambda report: _set(
        torch.nn.utils, "parameters_to_vector", lambda _: [1, 2]),
    "torch.utils.data": lambda report: _set(
        torch.utils.data._utils.collate, "default_collate", _wrong),
    "a table of loaders": lambda report: torch.utils.data._utils.collate.default_collate_fn_map
        .update({int: lambda *_, **__: torch.zeros(2)}),
    "a cleared table of loaders": lambda report: torch.utils.data._utils.collate
        .default_collate_fn_map.clear(),
    "a flag of a class": lambda report: _set(nn.Module, "call_super_init", True),
    "a table of copies": lambda report: copy._deepcopy_dispatch.update(
        {list: lambda x, memo: [*x, 1]}),
    "a table of json": lambda report: json.encoder.ESCAPE_DCT.update({chr(92): "?"}),
    "names of functional": lambda report: vars(F).update(gelu=F.relu, pad=_wrong),
    "a deleted function": lambda report: vars(torch.linalg).pop("norm"),
    "random": lambda report: _set(random, "random", lambda: 0.5),
    "numpy.random": lambda report: vars(numpy.random).update(rand=lambda: 0.5),
    **{kind: lambda report, way=way: way() for kind, way in users_module.CHANGED.items()},
    **{kind: lambda report, way=way: way() for kind, way in late.NEVER.items()},
    "deleted directory": _chdir,
    "default dtype": lambda report: torch.set_default_dtype(torch.float64),
    "default device": lambda report: torch.set_default_device("meta"),
    "device context": lambda report: torch.device("meta").__enter__(),
    "default tensor type": lambda report: torch.set_default_tensor_type(torch.HalfTensor),
    "threads of torch": lambda report: torch.set_num_threads(2),
    "no grad": lambda report: torch.set_grad_enabled(False),
    "inference mode": lambda report: KEPT.append(torch.inference_mode().__enter__()),
    "inference guard": lambda report: KEPT.append(torch._C._InferenceMode(True)),
    "deterministic": lambda report: torch.use_deterministic_algorithms(True, warn_only=True),
    "cudnn": lambda report: _set(torch.backends.cudnn, "benchmark", True),
    "tf32": lambda report: _set(torch.backends.cuda.matmul, "allow_tf32", True),
    "matmul precision": lambda report: torch.set_float32_matmul_precision("medium"),
    "mkldnn": lambda report: torch._C._set_mkldnn_enabled(False),
    "autocast": lambda report: torch.set_autocast_enabled("cpu", True),
    "autocast entered": lambda report: torch.autocast("cpu").__enter__(),
    "anomaly": lambda report: torch.autograd.set_detect_anomaly(True),
    "flush denormal": lambda report: torch.set_flush_denormal(True),
    "function mode": lambda report: _Mode().__enter__(),
    "dispatch mode": lambda report: _Dispatch().__enter__(),
    "saved tensor hooks": lambda report: torch.autograd.graph.saved_tensors_hooks(
        _wrong, _wrong).__enter__(),
    "functorch level": _vmap,
    "module hook": _hook,
    "warnings": lambda report: warnings.simplefilter("error"),
    "showwarning": lambda report: _set(warnings, "showwarning", None),
    "environment": _environment,
    "closed stdout": lambda report: _closed("stdout"),
    "closed streams": lambda report: _closed("stdout", "stderr", "stdin"),
    "no stdout": lambda report: _set(sys, "stdout", None),
    "closed fd 1": lambda report: os.close(1),
    "closed fds 0 to 2": lambda report: os.closerange(0, 3),
    "sys.path": lambda report: sys.path.clear(),
    "sys.argv": lambda report: _set(sys, "argv", []),
    "recursion limit": lambda report: sys.setrecursionlimit(90),
    "signal handler": lambda report: signal.signal(signal.SIGTERM, signal.SIG_IGN),
    "blocked signals": lambda report: signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM}),
    "alarm": _alarm,
    "faulthandler": lambda report: faulthandler.dump_traceback_later(0.5, exit=True),
    "umask": lambda report: os.umask(0o777),
    "file size limit": lambda report: resource.setrlimit(
        resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1])),
    "locale": lambda report: locale.setlocale(locale.LC_ALL, "C.UTF-8"),
    "logging": _logging,
    "no gc": lambda report: (gc.disable(), gc.set_threshold(1)),
    "trace": lambda report: sys.settrace(lambda *_: None),
    "profile": lambda report: sys.setprofile(lambda *_: None),
    "socket timeout": lambda report: socket.setdefaulttimeout(0.001),
    "numpy errors": lambda report: numpy.seterr(all="raise"),
    "decimal": lambda report: _set(decimal.getcontext(), "prec", 2),
    "decimals of threads": lambda report: _set(decimal.DefaultContext, "prec", 2),
    "random state": lambda report: (random.seed(0), numpy.random.seed(0), torch.manual_seed(0)),
    "torch function": lambda report: _set(torch, "randn", _wrong),
    "functional": lambda report: _set(F, "cross_entropy", F.mse_loss),
    "module method": lambda report: _set(nn.Linear, "forward", _wrong),
    "module call": lambda report: _set(nn.ReLU, "__call__", _wrong),
    "tensor method": lambda report: _set(torch.Tensor, "backward", _wrong),
    "tensor operator": lambda report: _set(torch.Tensor, "add", _wrong),
    "optimizer": lambda report: _set(torch.optim, "SGD", torch.optim.Adam),
    "optimizer step": lambda report: _set(torch.optim.SGD, "step", _wrong),
    "code of a function": _code,
    "builtin": lambda report: _set(__builtins__ if not isinstance(__builtins__, dict)
                                   else sys.modules["builtins"], "abs", _wrong),
    "os function": lambda report: _set(os, "getcwd", lambda: "/nowhere"),
    "modules": _modules,
    "child": lambda report: _child(),
    "child of its own session": lambda report: _child(start_new_session=True, env={}),
    "daemon": _daemon,
    "fork that stays": _fork_stays,
    "fork that returns": _fork_returns,
}  # fmt: skip
LASTING = users_module.EDITED | late.RAISED
REPLACED = {  # what a worker is replaced for, after its trial has ended with a result
    "thread": lambda report: _thread(False),
    "daemon thread": lambda report: _thread(True),
    "raw thread": _raw_thread,
    "open files": _files,
    **{kind: lambda report, way=way: way() for kind, way in LASTING.items()},
    "hard limit": lambda report: resource.setrlimit(resource.RLIMIT_NOFILE, (400, 400)),
}
FAILS = {  # what fails the trial alone
    "keyboard interrupt": lambda report: _raise(KeyboardInterrupt()),
    "system exit": lambda report: sys.exit(3),
    "generator exit": lambda report: _raise(GeneratorExit()),
    "base exception": lambda report: _raise(Odd("odd")),
    "silent exception": lambda report: _raise(Silent()),
    "lying exception": lambda report: _raise(Liar()),
    "huge message": lambda report: _raise(ValueError("x" * 10**7)),
    "surrogates": lambda report: _raise(ValueError("\udcff\x00\x1b[2J\u202e")),
    "surrogate of a file": lambda report: os.listxattr(b"/nowhere/\xff"),
    "interrupted": lambda report: os.kill(os.getpid(), signal.SIGINT),
    "key nan": lambda report: report({float("nan"): 1.0}),
    "key none": lambda report: report({None: 1.0}),
    "key surrogate": lambda report: report({"\udcff": 1.0}),
    "many metrics": _many,
    "text": lambda report: report("best"),
    "tensor of many": lambda report: report(torch.zeros(3, 3)),
    "meta tensor": lambda report: report(torch.zeros((), device="meta")),
    "huge integer": lambda report: report(10**400),
    "odd number": lambda report: report(_Number()),
    "numpy of many": lambda report: report(numpy.zeros(4)),
    "complex": lambda report: report(1j),
    "not finite": lambda report: report(float("nan")),
}
ENDS = {  # what ends the worker, and costs the trial
    "os._exit": lambda report: os._exit(0),
    "killed": lambda report: os.kill(os.getpid(), signal.SIGKILL),
    "real-time signal": lambda report: os.kill(os.getpid(), 40),
    "abort": lambda report: os.abort(),
    "exec": lambda report: os.execvp("true", ["true"]),
    "closed files": lambda report: os.closerange(0, 4096),
    "replaced files": _reuse,
    "garbage in pipes": _scribble,
    "main thread ends": _pthread_exit,
}
FINE = {  # what is no misbehavior, or is over when the trial ends
    "stopped": lambda report: os.kill(os.getpid(), signal.SIGSTOP),
    **{kind: lambda report, way=way: way() for kind, way in late.NOTHING.items()},
    "numpy number": lambda report: report(numpy.float32(0.5)),
    "numpy array": lambda report: report(numpy.array(0.5)),
    "tensor with grad": lambda report: report(torch.tensor(0.5, requires_grad=True)),
}
WAYS = PUT_BACK | REPLACED | FAILS | ENDS | FINE
