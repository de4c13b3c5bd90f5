"""A stopping server answers everyone whom the kernel has let in, and nobody else gets in.

gunicorn's own end resets connections that wait to be accepted: their callers have sent a request and never learn of it. Here
the master first has the kernel ignore new connections, then the workers accept what waits and close the door at once, so that
callers who come later are refused before they send anything. Two gunicorn hooks; a configuration imports them by name.
"""

from __future__ import annotations

import ctypes
import select
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

#: Connections a stopping worker accepts at most, where others may go on listening and more keep coming.
_AT_MOST = 512
#: Seconds in which a caller's last packet of a handshake arrives.
_HANDSHAKE = 0.05

_SO_ATTACH_FILTER = 26
#: Classic BPF over a TCP header: a packet with the SYN flag is dropped, every other one passes.
_NO_SYN = ((0x30, 0, 0, 13), (0x45, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))


def on_starting(arbiter: Any) -> None:
    """gunicorn's hook in the master."""
    arbiter.stop = partial(_stop, arbiter, arbiter.stop)


def post_worker_init(worker: Any) -> None:
    """gunicorn's hook in a worker."""
    worker.set_accept_enabled = partial(_set_accept_enabled, worker, worker.set_accept_enabled)


def _stop(arbiter: Any, stop: Callable[[bool], None], graceful: bool = True) -> None:
    ours_alone = arbiter.reexec_pid == 0 == arbiter.master_pid and not arbiter.systemd
    for listener in arbiter.LISTENERS if graceful and ours_alone else ():
        if listener.FAMILY in (socket.AF_INET, socket.AF_INET6):
            _let_nobody_in(listener.sock)
    stop(graceful)


def _let_nobody_in(listener: socket.socket) -> None:
    """The listener is shared with every worker, so this must only be done when all of them end. Linux; elsewhere nothing."""
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *instruction) for instruction in _NO_SYN))
    with suppress(OSError):
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", len(_NO_SYN), ctypes.addressof(program)))


def _set_accept_enabled(worker: Any, set_accept_enabled: Callable[[bool], None], enabled: bool) -> None:
    set_accept_enabled(enabled)
    if not enabled and not worker.alive:
        _accept_the_waiting(worker)
        for listener in worker.sockets:
            listener.close()


def _accept_the_waiting(worker: Any) -> None:
    for _ in range(_AT_MOST):
        ready = select.select([listener.sock for listener in worker.sockets if listener.sock], [], [], _HANDSHAKE)[0]
        if not ready:
            return
        for listener in worker.sockets:
            if listener.sock in ready:
                worker.accept(listener)
