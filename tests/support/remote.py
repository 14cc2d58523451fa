"""Another Django process: what is done in it is done by another process than the test and the server."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import sys
import traceback
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Self

import django

from tests.support import forkserver


class RemoteError(Exception):
    """What the code in the other process raised, with its traceback there."""


class DjangoProcess:
    """A Python process with Django set up, started with the given environment. It waits for calls until it is stopped."""

    def __init__(self, env: Mapping[str, str]) -> None:
        (stdin, self._questions), (self._answers, stdout) = forkserver.pipe(), forkserver.pipe()
        with stdin, stdout:
            self._process = forkserver.start(["-m", "tests.support.remote"], env, stdin, stdout, 2)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def call(self, path: str, *args: Any, **kwargs: Any) -> Any:
        """Call the function at a dotted path with JSON arguments; coroutine functions are run. Its result, as JSON.

        Raises RemoteError with what it raised.
        """
        return self._ask({"call": path, "args": args, "kwargs": kwargs})

    def run(self, code: str, **names: Any) -> Any:
        """Execute code in which `names` are known. What it assigned to `result`, as JSON. Raises RemoteError."""
        return self._ask({"code": code, "names": names})

    def _ask(self, question: dict[str, Any]) -> Any:
        self._questions.write(json.dumps(question) + "\n")
        self._questions.flush()
        line = self._answers.readline()
        if not line:
            raise RemoteError(f"the process ended with {self._process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise RemoteError(answer["error"])
        return answer["result"]

    def kill(self) -> None:
        """End it with SIGKILL: nothing is written, published or closed any more."""
        self._process.kill()
        self._end()

    def stop(self) -> None:
        """End it in good order."""
        self._questions.close()
        self._end()

    def _end(self) -> None:
        self._process.wait(15)
        self._questions.close()
        self._answers.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._process.poll() is None:
            self.stop()


def serve() -> None:
    """The other process's main function: a question a line from stdin, an answer a line to stdout."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatter_site.settings")
    answers, sys.stdout = sys.stdout, sys.stderr
    django.setup()

    def answer(question: dict[str, Any]) -> Any:
        if "code" in question:
            names: dict[str, Any] = {"result": None, **question["names"]}
            exec(question["code"], names)
            return names["result"]
        module, _, name = question["call"].rpartition(".")
        function = getattr(import_module(module), name)
        result = function(*question["args"], **question["kwargs"])
        if not inspect.iscoroutine(result):
            return result
        return runner.run(result)

    with asyncio.Runner() as runner:
        for line in sys.stdin:
            try:
                text = json.dumps({"result": answer(json.loads(line))}, default=str)
            except Exception:  # noqa: BLE001 - the caller is told, whatever it is
                text = json.dumps({"error": traceback.format_exc()})
            answers.write(text + "\n")
            answers.flush()


if __name__ == "__main__":
    serve()
