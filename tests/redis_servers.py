"""Real Redis servers, each a process of its own: alone, watched by sentinels, or in a cluster.

They listen at free ports of 127.0.0.1, keep their files in the folder given, and end with the ``with``
statement, or with the test run, however that ends. Every call blocks; a test whose event loop must go on
meanwhile uses ``asyncio.to_thread``.
"""

from __future__ import annotations

import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

DEADLINE = 20.0
"""Seconds that anything here may take."""

_given: set[int] = set()

# A process dies with the thread that began it (see _program): this one lives as long as the test run.
_beginner = ThreadPoolExecutor(1, "redis-servers")


class RedisServer:
    """One Redis, to be started and ended as often as a test likes, always at the same address.

    Args:
        folder: Where it keeps its files, in a folder of its own.
        options: More options of redis-server, as its command line has them: ``"--maxmemory", "2mb"``.
        keep: When it writes its data to disk, to find them after a crash: its ``appendfsync``; None, never.
        password: What clients must give.
        over: How it is reached. Its certificate vouches for itself: it is the ``ssl_ca_certs`` of the URL.
    """

    def __init__(
        self,
        folder: Path,
        *options: str,
        keep: Literal["everysec", "always"] | None = None,
        password: str = "",
        over: Literal["tcp", "tls", "unix"] = "tcp",
    ) -> None:
        self.port = _free_port()
        self.folder = folder / f"redis-{self.port}"
        self.folder.mkdir(parents=True)
        self._log = self.folder / "redis.log"
        self._keep = keep
        self._process: subprocess.Popen[bytes] | None = None
        self._options = ["--bind", "127.0.0.1", "--dir", str(self.folder), "--save", ""]
        # A replica's first copy is sent at once, not after waiting for more replicas to ask, and not kept.
        self._options += ["--repl-diskless-sync-delay", "0", "--rdb-del-sync-files", "yes"]
        login = f":{password}@" if password else ""
        if over == "tcp":
            self.url = f"redis://{login}127.0.0.1:{self.port}/0"
            self._options += ["--port", str(self.port)]
        elif over == "tls":
            certificate, key = _certificate(self.folder)
            self.url = f"rediss://{login}127.0.0.1:{self.port}/0?ssl_ca_certs={certificate}"
            self._options += ["--port", "0", "--tls-port", str(self.port), "--tls-auth-clients", "no"]
            self._options += ["--tls-cert-file", str(certificate), "--tls-key-file", str(key)]
        else:
            self.url = f"unix://{login}{self.folder / 'redis.sock'}?db=0"
            self._options += ["--port", "0", "--unixsocket", str(self.folder / "redis.sock")]
        if password:
            self._options += ["--requirepass", password, "--masterauth", password]
        if keep:
            self._options += ["--appendonly", "yes", "--appendfsync", keep]
        self._options += options

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """Its process, while it runs."""
        if self._process is None:
            raise RuntimeError(f"the Redis of port {self.port} does not run: start() it")
        return self._process

    @property
    def runs(self) -> bool:
        """Whether it has been started, and not ended since; a paused one runs."""
        return self._process is not None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        if self.runs:
            raise RuntimeError(f"the Redis of port {self.port} runs already")
        command = [*_program(self.folder), *self._options]
        with self._log.open("ab") as log:
            began = _beginner.submit(
                lambda: subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0
                )
            )
            self._process = began.result()
        try:
            _until(self._answers, "Redis answers")
        except BaseException as error:
            self.kill()
            error.add_note(self.output())
            raise
        (self.folder / "dump.rdb").unlink(missing_ok=True)

    def stop(self) -> None:
        """End it as an administrator does (SIGTERM)."""
        self.process.terminate()
        self.resume()
        try:
            code = self.process.wait(DEADLINE)
        finally:
            self.kill()
        if code:
            raise RuntimeError(f"Redis ended with {code}:\n{self.output()}")

    def kill(self) -> None:
        """End it as a crash does (SIGKILL), if it runs."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def restart(self, empty: bool) -> None:
        """Stop it, if it runs, and start it again: without its data, or with them, even if it keeps none.

        After `kill`, only what `keep` has written is there.
        """
        if self.runs:
            if not empty and not self._keep:
                self.cli("SAVE")
            self.stop()
        if empty:
            for file in ("dump.rdb", "appendonly.aof"):
                (self.folder / file).unlink(missing_ok=True)
            shutil.rmtree(self.folder / "appendonlydir", ignore_errors=True)
        self.start()

    def pause(self) -> None:
        """Let it hang (SIGSTOP): its connections stay, new ones open, nothing answers."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """End a pause."""
        self.process.send_signal(signal.SIGCONT)

    def cli(self, *command: str | bytes | float) -> Any:
        """Run a command over a connection of its own; return what redis-py makes of the answer.

        redis-py knows commands of two words as one: ``cli("CLUSTER INFO")``.
        """
        with redis.Redis.from_url(self.url, socket_timeout=5, retry=Retry(NoBackoff(), 0)) as client:
            return client.execute_command(*command)

    def output(self) -> str:
        """Return all that it has logged so far."""
        return self._log.read_text() if self._log.exists() else ""

    def _answers(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError("Redis did not begin")
        return _succeeds(self.cli, "PING")


class _Group:
    """Servers that begin and end together."""

    def __init__(self, *servers: RedisServer) -> None:
        self._servers = servers

    def __enter__(self) -> Self:
        try:
            for server in self._servers:
                server.start()
            self._join()
            self.settle()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        for server in self._servers:
            server.kill()

    def settle(self) -> None:
        """Wait until all work together, as they do again some time after the last dead one is started."""
        _until(partial(_succeeds, self._is_settled), "all servers work together")

    def _join(self) -> None:
        raise NotImplementedError

    def _is_settled(self) -> bool:
        raise NotImplementedError


class SentinelGroup(_Group):
    """A master and its replica, and three sentinels that make the replica master when they miss the master.

    Args:
        folder: Where the servers keep their files.
        options: More options of the master and the replica.
    """

    name = "lobby"
    """What the sentinels call the master."""

    def __init__(self, folder: Path, *options: str) -> None:
        first = RedisServer(folder, *options)
        second = RedisServer(folder, "--replicaof", "127.0.0.1", str(first.port), *options)
        self.servers = (first, second)
        self.sentinels = tuple(RedisServer(folder) for _ in range(3))
        for sentinel in self.sentinels:
            sentinel._options = [self._configuration(sentinel), "--sentinel"]
        addresses = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        self.url = f"redis+sentinel://{addresses}/{self.name}/0"
        super().__init__(*self.servers, *self.sentinels)

    @property
    def master(self) -> RedisServer:
        """The server that is master now: the first sentinel that answers says so."""
        for sentinel in self.sentinels:
            with suppress(redis.RedisError):
                return self._master_of(sentinel)
        raise RuntimeError("no sentinel answers")

    def fail_over(self) -> None:
        """Have the sentinels make the replica master, and wait until the old master follows it."""
        old = self.master
        sentinel = next(sentinel for sentinel in self.sentinels if sentinel.runs)

        def is_done() -> bool:
            # Refused for a while after another failover; and one that fails is begun again.
            if self._master_of(sentinel) is old:
                sentinel.cli("SENTINEL FAILOVER", self.name)
            return self._all_know(self._other(old))

        _until(partial(_succeeds, is_done), "the replica is master")
        self.settle()

    def kill_master(self) -> RedisServer:
        """End the master as a crash does, and wait until the replica is master; return the dead one."""
        old = self.master
        old.kill()
        _until(partial(_succeeds, self._all_know, self._other(old)), "the replica is master")
        return old

    def _join(self) -> None:
        for sentinel in self.sentinels:
            # They look, talk and ping more often than every 10, 2 and 1 seconds, which needs Redis 7. Pings
            # must be more frequent than down-after, or a new master counts as down before its first one;
            # but what a sentinel knows of a replica is good for 5 of them only, and that is asked for each
            # second. A master that the others have not heard of yet is demoted after 4 times "publish".
            periods = ("INFO-PERIOD", 500, "PUBLISH-PERIOD", 500, "PING-PERIOD", 250)
            sentinel.cli("SENTINEL", "DEBUG", *periods)

    def _all_know(self, new: RedisServer) -> bool:
        known = (self._master_of(sentinel) is new for sentinel in self.sentinels if sentinel.runs)
        return all(known) and new.cli("INFO", "replication")["role"] == "master"

    def _is_settled(self) -> bool:
        master = self.master
        for sentinel in self.sentinels:
            sentinel.cli("SENTINEL CKQUORUM", self.name)
            if sentinel.cli("SENTINEL MASTER", self.name)["flags"] != "master":
                return False
        state = self._other(master).cli("INFO", "replication")
        follows = state.get("master_port") == master.port and state["master_link_status"] == "up"
        return follows and self._all_know(master)

    def _master_of(self, sentinel: RedisServer) -> RedisServer:
        port = int(sentinel.cli("SENTINEL GET-MASTER-ADDR-BY-NAME", self.name)[1])
        return next(server for server in self.servers if server.port == port)

    def _other(self, server: RedisServer) -> RedisServer:
        return self.servers[1 - self.servers.index(server)]

    def _configuration(self, sentinel: RedisServer) -> str:
        """Write the file of a sentinel, which knows the others: to find them would take seconds."""
        master, replica = self.servers
        others = [other.port for other in self.sentinels if other is not sentinel]
        lines = [
            f"port {sentinel.port}",
            "bind 127.0.0.1",
            f"dir {sentinel.folder}",
            f"sentinel myid {sentinel.port:040x}",
            f"sentinel monitor {self.name} 127.0.0.1 {master.port} 2",
            f"sentinel down-after-milliseconds {self.name} 500",
            # When no sentinel gets the others' votes, they try again after twice this time; but it may take
            # more than a second until they see that the replica has become master.
            f"sentinel failover-timeout {self.name} 2000",
            f"sentinel known-replica {self.name} 127.0.0.1 {replica.port}",
            *(f"sentinel known-sentinel {self.name} 127.0.0.1 {port} {port:040x}" for port in others),
        ]
        file = sentinel.folder / "sentinel.conf"
        file.write_text("\n".join(lines) + "\n")
        return str(file)


class RedisCluster(_Group):
    """Three masters that share the keys, each with so many replicas.

    Args:
        folder: Where the nodes keep their files.
        options: More options of every node.
        replicas: How many each master has.
    """

    def __init__(self, folder: Path, *options: str, replicas: int = 0) -> None:
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000", *options)
        self.nodes = tuple(RedisServer(folder, *options) for _ in range(3 * (1 + replicas)))
        """The three that are masters first, then their replicas."""
        self.url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)
        super().__init__(*self.nodes)

    def _join(self) -> None:
        for number, node in enumerate(self.nodes):
            node.cli("CLUSTER SET-CONFIG-EPOCH", number + 1)
            if number < 3:
                node.cli("CLUSTER ADDSLOTS", *range(16384 * number // 3, 16384 * (number + 1) // 3))
            if number:
                node.cli("CLUSTER MEET", "127.0.0.1", self.nodes[0].port)
        for number, node in enumerate(self.nodes[3:]):
            follow = partial(node.cli, "CLUSTER REPLICATE", self.nodes[number % 3].cli("CLUSTER MYID"))
            _until(partial(_succeeds, follow), "a replica knows its master")

    def _is_settled(self) -> bool:
        for node in self.nodes:
            state = node.cli("CLUSTER INFO")
            if state["cluster_state"] != "ok" or int(state["cluster_known_nodes"]) != len(self.nodes):
                return False
            if node.cli("INFO", "replication").get("master_link_status", "up") != "up":
                return False
        return True


def _until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not so within {DEADLINE:g} s: {what}")
        time.sleep(0.005)


def _succeeds(command: Callable[..., object], *arguments: object) -> bool:
    """Return whether it neither fails nor says that it did."""
    try:
        return command(*arguments) is not False
    except redis.RedisError:
        return False


def _free_port() -> int:
    """Return a port that nobody listens at, nor 10000 above, where a cluster's node talks with others.

    None from 32768 on, where Linux takes the ports of outgoing connections from: it could be lost while
    its server is down, even to a client that tries to reach that server and so connects to itself.
    """
    while True:
        port = random.randrange(10000, 22768)
        if port not in _given and _is_free(port) and _is_free(port + 10000):
            _given.add(port)
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As Redis does: connections that linger from an earlier server don't matter.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return True
    return False


def _program(folder: Path) -> list[str]:
    """Return the command that runs redis-server, and lets it die with the test run, even a killed one.

    Debian's redis-tools, which begins no service, has the program under another name only.
    """
    program = shutil.which("redis-server")
    if program is None:
        link = folder / "redis-server"
        if not link.is_symlink():
            link.symlink_to(shutil.which("redis-check-rdb") or "redis-check-rdb")
        program = str(link)
    return ["setpriv", "--pdeathsig", "KILL", program] if shutil.which("setpriv") else [program]


def _certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate for 127.0.0.1 that vouches for itself; return its file and its key's."""
    certificate, key = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=redis"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-addext", "keyUsage=critical,digitalSignature,keyCertSign"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key
