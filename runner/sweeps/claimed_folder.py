"""The folder of a sweep: no other one has it, also if both begin in the same second."""

import itertools
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from runner.config.hydra_folder import HydraFolder, hydra_folder

NOW = "${now:"  # Hydra's resolver of the time, in the name of a folder


def claim_folder(config: DictConfig) -> None:
    """Makes the folder of a sweep that is named after the time, under a name that no other sweep
    has, and sets `hydra.sweep.dir` to it. One that a user names is left as it is."""
    named: Any = OmegaConf.to_container(config.hydra.sweep)
    if NOW not in str(named["dir"]):
        return
    wanted = Path(config.hydra.sweep.dir)
    wanted.parent.mkdir(parents=True, exist_ok=True)
    names = (wanted.with_name(f"{wanted.name}-{i}") for i in itertools.count(2))
    for folder in itertools.chain([wanted], names):
        before = HydraFolder(folder)
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        if folder != wanted:  # else the loader of configs has noted it, with the folders above it
            hydra_folder.set(before)
        config.hydra.sweep.dir = str(folder)
        return
