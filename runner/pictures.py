"""Pictures of the models of a search, for its report."""

import logging
from collections.abc import Sequence

from runner.engines.engine import Engine
from runner.trial import Trial

log = logging.getLogger(__name__)


def picture_of_best(engine: Engine, best: Sequence[Trial]) -> str:
    """Returns the graph of the model of the first of some trials as SVG; "" if there is no trial,
    the engine creates no graphs, or this one cannot be drawn, which is logged."""
    from runner.graph.drawing.picture import svg  # here: most searches draw nothing

    for trial in best[:1]:
        try:
            graph = engine.graph(trial.sample)
            return "" if graph is None else svg(graph)
        except Exception as error:  # of users' code, such as a model that cannot be read any more
            log.info("The graph of trial %s was not drawn: %s", trial.number, error)
    return ""
