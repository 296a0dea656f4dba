"""Debian's RabbitMQ as an instance of our own: own node, ports, folders and port mapper, on loopback only."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from amqp.exceptions import AMQPError
from kombu import Connection

from sandbox.process import Process, free_port, listening
from tests.system.conftest import installed

START_SECONDS = 120
BINARIES = Path("/usr/lib/rabbitmq/bin")  # those on PATH insist on Debian's own instance


class RabbitMQ:
    """A RabbitMQ that keeps its queues on disk; it can be stopped, killed, frozen, choked, and started again."""

    def __init__(self, folder: Path) -> None:
        installed("rabbitmq-server", "rabbitmq-server")
        if not (BINARIES / "rabbitmq-server").exists():
            pytest.fail(f"Debian's rabbitmq-server has no {BINARIES}/rabbitmq-server")
        folder.mkdir(parents=True, exist_ok=True)
        self.port, self._epmd_port, self._folder = free_port(), free_port(), folder
        (folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.local = 127.0.0.1:{self.port}\ndisk_free_limit.absolute = 1MB\n"
        )
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RUNNING_UNDER_SYSTEMD": "1",  # no shell around it
            "RABBITMQ_NODENAME": "krot@localhost",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "none"),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        }
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}//"
        # Otherwise Erlang would leave one behind.
        self._epmd = Process(
            "epmd", ["epmd", "-port", str(self._epmd_port), "-address", "127.0.0.1"], log=folder / "epmd.log"
        )
        self._epmd.wait_ready(lambda: listening(self._epmd_port))
        self.start()

    def start(self) -> None:
        """Starts it, with the queues that it had."""
        command = [str(BINARIES / "rabbitmq-server")]
        self.process = Process("RabbitMQ", command, log=self._folder / "server.log", env=self._environment)
        self.process.wait_ready(self._takes_messages, seconds=START_SECONDS)

    def _takes_messages(self) -> bool:
        """Whether somebody can log in: it listens a little before."""
        try:
            with Connection(self.url, connect_timeout=5) as connection:
                connection.connect()
        except (OSError, AMQPError):
            return False
        return True

    def ctl(self, *arguments: str) -> str:
        """What `rabbitmqctl` says."""
        command = [str(BINARIES / "rabbitmqctl"), "--quiet", *arguments]
        answer = subprocess.run(  # noqa: S603 - our own commands
            command, env=self._environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert answer.returncode == 0, answer.stderr or answer.stdout
        return answer.stdout

    def freeze(self) -> None:
        """It accepts connections and says nothing."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        os.killpg(self.process.pid, signal.SIGCONT)

    def choke(self) -> None:
        """Out of memory, as it thinks: it takes in no message any more."""
        self.ctl("set_vm_memory_high_watermark", "absolute", "1")

    def breathe(self) -> None:
        """There is room again."""
        self.ctl("set_vm_memory_high_watermark", "0.6")

    def stop(self) -> None:
        """Ends it cleanly; its queues stay."""
        self.process.stop(seconds=30)

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()

    def close(self) -> None:
        """Ends it for good."""
        if self.process.running:
            self.thaw()
        self.process.kill()
        self._epmd.kill()
