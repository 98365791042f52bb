"""The data of a worker: loaded once for all jobs that need the same, and unchanged by them."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, final

from runner.config.instantiate import build, put
from runner.data.data import Data, SearchData, Split
from runner.data.held import HeldData
from runner.data.shared_tensors import shared_in
from runner.process_care import ProcessCare
from runner.space.sample import Sample
from runner.trial import Setup


def configured(setup: Setup, group: str, sample: Sample) -> Mapping[str, Any]:
    """Returns the config node of a group, with the values that a sample chose for it."""
    node: Mapping[str, Any] = getattr(setup, group)
    chosen = [label for label in setup.search if label.startswith(f"{group}.")]
    config = {group: deepcopy(node) if chosen else node}
    for label in chosen:
        if label in sample:
            put(config, label, sample[label])
    return config[group]


@final
class WorkerData:
    """The data that the last job needed."""

    def __init__(self, setup: Setup, around: ProcessCare) -> None:
        self._setup = setup
        self._around = around
        self._data: tuple[str, Data] | None = None
        self._is_loaded = False  # whether it is in memory
        self._held: HeldData | None = None  # by the data, as the jobs found it
        self._is_given = False  # whether a trial has been given it

    def search(self, sample: Sample) -> SearchData:
        """Returns the splits of a search. Loading them is no work of the trial that waits."""
        data = self._load(sample)
        if self._is_loaded:
            return data.search()
        with self._loading():
            found = data.search()
        self._is_loaded = True
        return found

    def test(self, sample: Sample) -> Split:
        """Returns the test split."""
        data = self._load(sample)
        with self._loading():
            return data.test()

    def give(self, part: SearchData | Split) -> None:
        """Looks at the data before a trial is given a part of it. An earlier look is as good if
        nothing was added to what it found."""
        earlier = self._held
        if earlier is None or earlier.has_grown or not earlier.holds(part, self._data):
            self._held = HeldData(part, self._data, earlier=earlier)
        self._is_given = True

    def take_back(self) -> None:
        """Looks at the data after a trial. If that changed it, the next job loads it again."""
        if self._is_given and self._held is not None and not self._held.are_unchanged():
            self._data = self._held = None
            self._around.renewed("the data")
        self._is_given = False

    @contextmanager
    def _loading(self) -> Iterator[None]:
        self._around.loading(True)
        key = self._data[0] if self._data is not None else ""
        try:
            with shared_in(self._setup.shared_data, key):
                yield
        finally:
            self._around.loading(False)

    def _load(self, sample: Sample) -> Data:
        node = configured(self._setup, "data", sample)
        key = json.dumps(node, sort_keys=True)
        if self._data is None or self._data[0] != key:
            self._data = self._held = None  # frees the old data before loading the new
            self._is_loaded = False
            with self._loading():
                self._data = (key, build(node, self._setup.trust))
        return self._data[1]
