"""Metrics that an evaluator reports, as plain numbers."""

from collections.abc import Mapping

from torch import Tensor

from runner.errors import ConfigError, one_line, shown

MANY = 1000  # metrics of a report
LONG = 200  # characters of the name of a metric


def plain_metrics(values: Mapping[str, float]) -> dict[str, float]:
    """Returns a report as plain numbers. Raises ConfigError for what is none."""
    if len(values) > MANY:
        raise ConfigError(
            f"The evaluator reported {len(values)} metrics at once; at most {MANY} can be recorded."
        )
    return {_metric(name): _number(name, value) for name, value in values.items()}


def _metric(name: object) -> str:
    if isinstance(name, str) and 0 < len(name) <= LONG and _is_unicode(name):
        return str(name)
    raise ConfigError(
        f"The evaluator reported a metric named {shown(name)}; a name is a text of 1 to {LONG} "
        "characters, such as 'val/accuracy'."
    )


def _is_unicode(text: str) -> bool:
    """Returns whether a text has no half of a surrogate pair, which no file can hold."""
    return text.encode("utf-8", "replace").decode() == text


def _number(name: str, value: object) -> float:
    try:
        number: float = value.detach().item() if isinstance(value, Tensor) else value  # type: ignore[assignment]
        return float(number)
    except Exception as error:
        raise ConfigError(
            f"The evaluator reported {name!r}: {shown(value)}; a metric is one number "
            f"({one_line(error)})."
        ) from error
