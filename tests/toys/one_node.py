"""A Slurm cluster of one node on this machine, for as long as a test needs it."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol")
CONFIG = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SchedulerParameters=sched_interval=1,batch_sched_delay=0
KillWait=5
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} State=UNKNOWN
PartitionName=debug Nodes={host} Default=YES MaxTime=120 State=UP OverSubscribe=FORCE:4
"""


def why_not() -> str:
    """Why there can be no cluster here; empty if there can."""
    missing = [name for name in DAEMONS if shutil.which(name, path=_path()) is None]
    if missing:
        return f"{missing[0]} is not installed (apt-get install slurm-wlm munge)"
    return "" if os.getuid() == 0 else "its daemons are started by root only"


def _path() -> str:
    return f"{os.environ['PATH']}:/usr/sbin:/sbin"


def _free_ports() -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(2)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


class OneNode:
    """The cluster. Commands find it by the variable SLURM_CONF."""

    def __init__(self, folder: Path) -> None:
        self.folder, host = folder, socket.gethostname()
        for name in ("state", "spool", "munge"):
            (folder / name).mkdir(mode=0o700)
        key = folder / "munge" / "key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        self.config = folder / "slurm.conf"
        self.config.write_text(
            CONFIG.format(host=host, ports=_free_ports(), folder=folder, cores=os.cpu_count())
        )
        named = {"key-file": key, **{f"{name}-file": folder / "munge" / name
                                     for name in ("pid", "log", "seed")}}  # fmt: skip
        munge = [f"--{name}={path}" for name, path in named.items()]
        munge.append(f"--socket={folder}/munge/socket")
        self._daemons = [
            self._start("munged", "--force", "--foreground", *munge),
            self._start("slurmctld", "-D", "-f", str(self.config)),
            self._start("slurmd", "-D", "-f", str(self.config)),
        ]
        deadline = time.monotonic() + 30
        while "idle" not in self.ask("sinfo", "--noheader", "--format=%T"):
            assert time.monotonic() < deadline, (folder / "slurmctld.log").read_text()[-2000:]
            time.sleep(0.2)

    def _start(self, *command: str) -> subprocess.Popen:
        environment = {**os.environ, "PATH": _path(), "SLURM_CONF": str(self.config)}
        with (self.folder / "daemons.log").open("ab") as log:
            return subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def ask(self, *command: str) -> str:
        """What a command prints."""
        environment = {**os.environ, "SLURM_CONF": str(self.config)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)
        return done.stdout

    def close(self) -> None:
        self.ask("scancel", "--user=root")
        time.sleep(1)
        for daemon in reversed(self._daemons):
            daemon.terminate()
        for daemon in reversed(self._daemons):
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
