"""A watch over all processes, beside MPI: what dies, hangs or raises ends all of them, with one line that names it.

A thread of each process has a socket to process 0 and says, once a second, how many collectives it has come to, and how long
it has waited in the last. The system closes the socket of a process that dies, however it does; a process that is stuck, or
whose host is cut off, is not heard of any more, or keeps the others waiting. Process 0 then says which, and all end at once.
"""

from __future__ import annotations

import atexit
import json
import os
import secrets
import selectors
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from typing import Any

__all__ = ["Watch"]

BEAT = 1.0  # seconds between two reports
MERCY = 1.0  # seconds that others have to end by themselves
GRACE = 5.0  # seconds that others may wait for a process that has ended without a fault


class Watch:
    """The thread of one process.

    Parameters
    ----------
    group : Group
        Whose processes are watched.
    timeout : float
        Seconds that one may keep the others waiting.
    """

    def __init__(self, group: Any, timeout: float):
        self.rank, self.size, self.timeout = group.rank, group.size, timeout
        self.calls = 0
        self.since: float | None = None
        self._is_over = False
        self._selector = selectors.DefaultSelector()
        self._meet(group)
        now = time.monotonic()
        self._heard = dict.fromkeys(
            self._peers, (now, 0, 0.0)
        )  # when, how many collectives, seconds waiting in the last
        places = group.objects((socket.gethostname(), os.getpid()))
        self._names = [f"process {r} of {self.size} ({host}, {pid})" for r, (host, pid) in enumerate(places)]
        here = places[self.rank][0]
        self._beside = [pid for r, (host, pid) in enumerate(places) if host == here and r != self.rank]
        self._left: dict[int, float] = {}  # those that have ended without a fault
        self._hook = sys.excepthook
        sys.excepthook = self._raised
        atexit.register(self._leave)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)
        threading.Thread(target=self._run, name="weft watch", daemon=True).start()

    def _meet(self, group: Any) -> None:
        """Connect everybody with process 0."""
        listener = socket.create_server(("", 0)) if self.rank == 0 else None
        here = "127.0.0.1" if group.local_size == group.size else socket.getfqdn()
        mine = (here, listener.getsockname()[1], secrets.token_hex(16)) if listener is not None else None
        host, port, token = group.object_of(mine)
        self._peers: dict[int, socket.socket] = {}
        if listener is None:
            peer = self._peers[0] = socket.create_connection((host, port), timeout=self.timeout)
            peer.sendall(f"{token} {self.rank:09}".encode())
        else:
            listener.settimeout(self.timeout)
            while len(self._peers) < self.size - 1:
                peer, _ = listener.accept()
                peer.settimeout(self.timeout)
                said = peer.makefile("rb").read(42).split()
                if len(said) == 2 and secrets.compare_digest(said[0].decode(), token):
                    self._peers[int(said[1])] = peer
            listener.close()
        for r, peer in self._peers.items():
            peer.setblocking(False)
            self._selector.register(peer, selectors.EVENT_READ, (r, bytearray()))

    # --- what the main thread tells -----------------------------------------------------------------------------------
    def waits(self, calls: int) -> None:
        """The process has begun to wait for others, in its collective number `calls`."""
        self.calls, self.since = calls, time.monotonic()

    def goes_on(self) -> None:
        """The process waits no more."""
        self.since = None

    def is_lost(self) -> None:
        """A message could not be sent or received: wait for whether somebody has died, which ends this process, too."""
        time.sleep(GRACE)

    def end(self, line: str, status: int) -> None:
        """End all processes, with a line that a user can act on; does not return. What all meet, process 0 says."""
        if self.rank:
            time.sleep(GRACE)  # it ends this one, too
            self.fail(f"stopped: {line}")
        os.write(2, f"{line}\n".encode())
        self._end(None, status)

    def fail(self, what: str) -> None:
        """End all processes, because of this one; does not return."""
        if self.rank == 0:
            self._end(f"{self._names[0]} {what}")
        self._tell(0, {"fault": what})
        time.sleep(GRACE)  # until process 0 has said so and ended this one, too
        os._exit(1)

    def _raised(self, kind: Any, error: Any, traceback: Any) -> None:
        self._hook(kind, error, traceback)
        sys.stderr.flush()
        if not issubclass(kind, KeyboardInterrupt):
            self.fail(f"raised {kind.__name__}: {error}".split("\n")[0][:300])

    def _leave(self) -> None:
        self._is_over = True
        for r in self._peers:
            self._tell(r, {"bye": True})

    def _forget(self) -> None:
        """In a forked process, a loader's worker say: it would keep the connections open when this one is dead."""
        for peer in self._peers.values():
            peer.close()
        self._peers, sys.excepthook = {}, self._hook

    # --- the thread ---------------------------------------------------------------------------------------------------
    def _run(self) -> None:
        due = time.monotonic()
        while True:
            now = time.monotonic()
            if now - due > 3 * BEAT:  # this process was stopped, and heard nobody meanwhile
                self._heard = {r: (now, *said[1:]) for r, said in self._heard.items()}
            if now >= due:
                due = now + BEAT
                for r in self._peers:
                    self._tell(r, {"calls": self.calls, "waiting": self._waiting(now)})
                if not self._is_over:
                    self._judge(now)
            for key, _ in self._selector.select(max(0.0, due - now)):
                self._receive(*key.data)

    def _waiting(self, now: float) -> float:
        since = self.since
        return 0.0 if since is None else now - since

    def _receive(self, r: int, buffer: bytearray) -> None:
        try:
            piece = self._peers[r].recv(4096)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        buffer += piece
        while (end := buffer.find(b"\n")) >= 0:
            said = json.loads(bytes(buffer[:end]))
            del buffer[: end + 1]
            if "fault" in said:
                self._end(f"{self._names[r]} {said['fault']}" if self.rank == 0 else None)
            elif "bye" in said:
                self._left[r] = time.monotonic()
            elif "verdict" in said:
                self._exit(said["verdict"])
            else:
                self._heard[r] = time.monotonic(), said["calls"], said["waiting"]
        if not piece:
            self._selector.unregister(self._peers[r])
            if r not in self._left and not self._is_over:
                is_speaker = self.rank == 0 or self.rank == 1
                self._end(f"{self._names[r]} died" if is_speaker else None)

    def _judge(self, now: float) -> None:
        """Whether somebody is not heard of, or keeps the others waiting: of process 0 the next one judges."""
        if self.rank:
            when, has_left = self._heard[0][0], 0 in self._left
            what = "has ended, while others wait for it" if has_left else f"was not heard of for {now - when:.0f} s"
            if (has_left and self._waiting(now) > GRACE) or (
                not has_left and now - when > self.timeout + 2 * BEAT * self.rank
            ):
                self._end(f"{self._names[0]} {what}" if self.rank == 1 else None)
            return
        calls = {0: self.calls} | {r: said[1] for r, said in self._heard.items()}
        waiting = {0: self._waiting(now)} | {r: said[2] for r, said in self._heard.items()}
        for r, (when, *_) in self._heard.items():
            if r not in self._left and now - when > self.timeout:
                self._end(f"{self._names[r]} was not heard of for {now - when:.0f} s")
        for r, when in self._left.items():
            if now - when > GRACE and any(w > GRACE for other, w in waiting.items() if other not in self._left):
                self._end(f"{self._names[r]} has ended, while others wait for it")
        longest = max(waiting, key=lambda r: waiting[r])
        if waiting[longest] > self.timeout:
            late = [r for r in calls if calls[r] < calls[longest] or not waiting[r]]
            who = ", ".join(self._names[r] for r in late) if late else "every process"
            what = "keeps the others waiting" if late else "waits for another"
            self._end(f"{who} {what}, for {waiting[longest]:.0f} s now")

    def _tell(self, r: int, message: dict[str, Any]) -> None:
        with suppress(OSError):
            self._peers[r].sendall(json.dumps(message).encode() + b"\n")

    def _end(self, line: str | None, status: int = 1) -> None:
        """End this process and, as process 0, all others; the line is said once."""
        self._is_over = True
        if line is not None:
            with suppress(OSError, ValueError):
                os.write(2, f"weft: {line}; all processes end\n".encode())
        for r in self._peers:
            self._tell(r, {"verdict": status})
        self._exit(status)

    def _exit(self, status: int) -> None:
        """End this process, and those on this machine that cannot do so themselves."""
        with suppress(OSError, ValueError):
            sys.stdout.flush()
        time.sleep(MERCY)
        for pid in self._beside:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        _unlink_shared()
        os._exit(status)


def _unlink_shared() -> None:
    """Remove this process's memory of MPICH in /dev/shm, which outlives processes that do not come to `MPI_Finalize`."""
    with suppress(OSError), open("/proc/self/maps") as maps:
        for path in {line.split()[-1] for line in maps if "/dev/shm/mpich_shm_" in line}:
            with suppress(OSError):
                os.unlink(path)
