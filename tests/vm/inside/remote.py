# SPDX-License-Identifier: Apache-2.0
"""Objects of another machine, over one vsock stream: how the tests in the parent guest use sockets,
daemons and namespaces of the enclave guest.

The enclave runs agent.py, which dials the parent. Whatever is called there runs in a thread of the
agent; plain values come back as they are, anything else stays there and is used through a Handle.
Both sides have the same modules, and trust each other: this is a test's own stream, not the
product's.
"""
import contextlib
import pickle
import socket
import subprocess
import threading
import traceback
from multiprocessing.connection import Connection

CONTROL_PORT = 7700
PLAIN = (type(None), bool, int, float, str, bytes, subprocess.CompletedProcess)


class Reference:
    """A Handle on its way through the stream."""

    def __init__(self, number):
        self.number = number


class Callable:
    """In place of a method's value."""


# ---- the agent's side

class Server:
    """Answers calls until the stream ends."""

    def __init__(self, stream):
        self._connection = Connection(stream.detach())
        self._writing = threading.Lock()
        self._objects = {}

    def serve(self):
        with contextlib.suppress(EOFError, OSError):
            while True:
                request = self._connection.recv()
                threading.Thread(target=self._answer, args=request, daemon=True).start()

    def _answer(self, number, action, arguments):
        try:
            answer = (number, True, self._out(getattr(self, f"_do_{action}")(*arguments)))
            pickle.dumps(answer)
        except BaseException as problem:  # pylint: disable=broad-exception-caught
            answer = (number, False, f"{problem!r} in the enclave\n{traceback.format_exc()}"
                      if not isinstance(problem, OSError) else problem)
        with self._writing:
            self._connection.send(answer)

    def _in(self, value):
        if isinstance(value, Reference):
            return self._objects[value.number]
        if isinstance(value, (list, tuple)):
            return type(value)(self._in(each) for each in value)
        return value

    def _out(self, value):
        if isinstance(value, (*PLAIN, Callable)):
            return value
        if isinstance(value, (list, tuple)):
            return type(value)(self._out(each) for each in value)
        if isinstance(value, dict):
            return {key: self._out(each) for key, each in value.items()}
        self._objects[id(value)] = value
        return Reference(id(value))

    def _do_call(self, function, arguments, named):
        return function(*self._in(arguments), **{key: self._in(value)
                                                 for key, value in named.items()})

    def _do_method(self, target, name, arguments, named):
        return self._do_call(getattr(self._objects[target], name), arguments, named)

    def _do_get(self, target, name):
        value = getattr(self._objects[target], name)
        return Callable() if callable(value) else value


# ---- the parent's side

class Handle:
    """An object of the other machine."""

    def __init__(self, remote, number):
        self._remote, self._number = remote, number

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        value = self._remote.ask("get", self._number, name)
        if not isinstance(value, Callable):
            return value
        return lambda *arguments, **named: self._remote.ask("method", self._number, name,
                                                            arguments, named)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Remote:
    """The other machine."""

    def __init__(self, stream):
        self._connection = Connection(stream.detach())
        self._writing = threading.Lock()
        self._waiting, self._number = {}, 0
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        with contextlib.suppress(EOFError, OSError):
            while True:
                number, good, value = self._connection.recv()
                self._waiting.pop(number).put((good, value))
        for waiting in list(self._waiting.values()):
            waiting.put((False, "the other machine is gone"))

    def call(self, function, *arguments, **named):
        """Calls a function or class of a module that both sides have."""
        return self.ask("call", function, arguments, named)

    def ask(self, action, *arguments):
        answer = _Answer()
        with self._writing:
            self._number += 1
            self._waiting[self._number] = answer
            self._connection.send((self._number, action, self._out(arguments)))
        good, value = answer.get()
        if good:
            return self._in(value)
        raise value if isinstance(value, OSError) else AssertionError(value)

    def _out(self, value):
        if isinstance(value, Handle):
            return Reference(value._number)  # pylint: disable=protected-access
        if isinstance(value, (list, tuple)):
            return type(value)(self._out(each) for each in value)
        if isinstance(value, dict):
            return {key: self._out(each) for key, each in value.items()}
        return value

    def _in(self, value):
        if isinstance(value, Reference):
            return Handle(self, value.number)
        if isinstance(value, (list, tuple)):
            return type(value)(self._in(each) for each in value)
        if isinstance(value, dict):
            return {key: self._in(each) for key, each in value.items()}
        return value


class _Answer:
    """One value, waited for; longer than any deadline inside a call."""

    PATIENCE = 400

    def __init__(self):
        self._event, self._value = threading.Event(), None

    def put(self, value):
        self._value = value
        self._event.set()

    def get(self):
        assert self._event.wait(self.PATIENCE), "no answer from the other machine"
        return self._value


def accept(port, patience):
    """Waits for the agent: a Remote, and the CID that it came from."""
    with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as listener:
        listener.bind((socket.VMADDR_CID_ANY, port))
        listener.listen(1)
        listener.settimeout(patience)
        stream, (cid, _) = listener.accept()
    stream.settimeout(None)
    return Remote(stream), cid
