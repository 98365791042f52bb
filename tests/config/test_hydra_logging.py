"""A logging node has nothing but formatters, filters, handlers and loggers of known kinds."""

import logging.config

import pytest
from omegaconf import OmegaConf

from runner.config.hydra_logging import check_logging
from runner.errors import ConfigError

FILE = "class: logging.FileHandler, filename"
REFUSED = [  # a node; the folder of a sweep; what is said
    ("handlers: {x: {class: logging.FileHandler, '.': {baseFilename: /x}}}", "x['.'] may not be"),
    ("formatters: {x: {format: a, '.': {a: b}}}", "formatters.x['.'] may not be set"),
    ("handlers: {x: {class: logging.NullHandler, a: {'()': evil.f}}}", "has the key '()'"),
    ("handlers: {x: {class: logging.NullHandler, a: [{b: 'ext://evil.f'}]}}", "a[0].b is 'ext://"),
    ("handlers: {x: {class: logging.NullHandler, a: ' ext://evil.f'}}", "it may be ext://sys"),
    ("handlers: {x: {class: logging.NullHandler, a: '${hydra.sweep.dir}'}}", "may not stand there"),
    ("handlers: {x: {class: logging.NullHandler, a: '${hydra.job.name}://evil.f'}}", "stand there"),
    ("handlers: {x: {class: logging.NullHandler, a: '${hydra.job.name}//evil.f'}}", "stand there"),
    ("formatters: {x: {format: '${oc.env:HOME}'}}", "format is '${oc.env:HOME}'; an interpolation"),
    ("formatters: {x: {class: evil.F}}", "formatters.x.class is 'evil.F', which is none of"),
    ("formatters: {x: {nope: 1}}", "formatters.x.nope may not be set; formatter 'x' has (), class"),
    ("filters: {x: {nope: 1}}", "filter 'x' has name."),
    ("loggers: {x: {nope: 1}}", "logger 'x' has level, handlers, propagate, filters."),
    ("root: {'()': evil.f}", "log.root.() is 'evil.f', which is none of"),
    ("root: 5", "log.root is 5; it must be a mapping"),
    ("version: 2", "log.version is 2; it must be 1."),
    ("nope: {a: 1}", "log.nope is no key of a logging node, which has version, "),
    ("handlers: null", "log.handlers is null; it must be a mapping of keys to values"),
    ("handlers: {x: 5}", "log.handlers.x is 5; it must be a mapping"),
    ("handlers: {x: {class: null}}", "log.handlers.x.class is null, which is none of"),
    (f"handlers: {{x: {{{FILE}: 5}}}}", "filename is 5; log files lie in the folder of the run"),
    (f"handlers: {{x: {{{FILE}: '${{hydra.runtime.output_dir}}/../x.log'}}}}", "log files lie in"),
]  # fmt: skip
PASSES = [
    "handlers: {x: {class: logging.handlers.RotatingFileHandler, maxBytes: 9, backupCount: 2, "
    "filename: '${hydra.sweep.dir}/${hydra.job.name}.log', mode: a, encoding: utf-8}}",
    "formatters: {x: {format: '$message', style: $, datefmt: '%H', validate: true}}",
    "formatters: {x: {format: '[${hydra.job.num}] %(message)s'}}", "formatters: {x: {format: 'see https://a.b'}}",
    "formatters: {x: {'()': colorlog.ColoredFormatter, format: x, log_colors: {DEBUG: purple}}}",
    "handlers: {x: {class: rich.logging.RichHandler, keywords: [a], level: INFO, filters: [a]}}",
    "handlers: {x: null}", "root: null", "incremental: true", "filters: {x: {name: a}}",
    "handlers: {x: {'()': mine.handler, anything: 1}}",
    "loggers: {x: {level: DEBUG, handlers: [a], propagate: false}}", "version: 1",
    "handlers: {x: {class: logging.StreamHandler, stream: 'ext://sys.stdout'}}",
]  # fmt: skip


def node(text):
    return OmegaConf.to_container(OmegaConf.create(f"{{{text}}}"))


@pytest.mark.parametrize(("text", "why"), REFUSED)
def test_what_is_not_known_to_be_harmless_is_refused_at_its_place(text, why):
    with pytest.raises(ConfigError) as error:
        check_logging("log", node(text), ["mine"], "multirun")
    assert why in str(error.value)
    assert str(error.value).startswith("log") and "\n" not in str(error.value)


@pytest.mark.parametrize("text", PASSES)
def test_ordinary_logging_passes(text):
    check_logging("log", node(text), ["mine"], "multirun/${now:%H}")


@pytest.mark.parametrize("sweep", ["ext://evil.f", "${x}", "e${x}", "${x}/a", "ext:", "a:b/c"])
def test_a_folder_that_could_become_a_url_holds_no_log(sweep):
    text = node(f"handlers: {{x: {{{FILE}: '${{hydra.sweep.dir}}/x.log'}}}}")
    with pytest.raises(ConfigError, match=r"filename lies in hydra\.sweep\.dir, which is '"):
        check_logging("log", text, [], sweep)
    for good in ("multirun", "/a:b", "./${x}", "a/${x}://b"):
        check_logging("log", text, [], good)


def test_a_key_of_a_handler_that_sets_attributes_exists_in_this_python(tmp_path):
    """Why `.` is refused: `logging` sets what it holds on the handler it made."""
    file = {"class": "logging.FileHandler", "filename": str(tmp_path / "a"), "delay": True}
    handler = {**file, ".": {"baseFilename": str(tmp_path / "b")}}
    made = logging.config.DictConfigurator({"version": 1}).configure_handler(handler)
    assert made.baseFilename == str(tmp_path / "b")
