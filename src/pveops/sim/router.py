"""Which function answers which method of the API.

A handler module lists its functions with the decorator of its own `Routes`; the pipeline
finds the template through the schema facts, so that a path which PVE does not have cannot
be served here. What has no handler is answered 501 and journalled: nothing succeeds silently.

A handler takes one `Call` and returns what goes into `data`. One that has to wait (a guest's
lock, a slow storage) is a generator: each `yield seconds` lets virtual time pass outside the
model's lock, and what it returns goes into `data`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from pveops.sim.call import Call

Handler = Callable[["Call"], Any]
Waiting = Generator[float, None, Any]
"""What a handler that has to wait returns: it yields virtual seconds."""
F = TypeVar("F", bound=Handler)


class Routes:
    """Methods by (HTTP method, path template), e.g. ("GET", "/nodes/{node}/status")."""

    def __init__(self) -> None:
        self._handlers: dict[tuple[str, str], Handler] = {}

    def add(self, method: str, *templates: str) -> Callable[[F], F]:
        """Register the decorated function for a method of one or more templates."""

        def register(function: F) -> F:
            for template in templates:
                if (method, template) in self._handlers:
                    raise ValueError(f"{method} {template} has two handlers")
                self._handlers[method, template] = function
            return function

        return register

    def get(self, *templates: str) -> Callable[[F], F]:
        """`add` for GET."""
        return self.add("GET", *templates)

    def post(self, *templates: str) -> Callable[[F], F]:
        """`add` for POST."""
        return self.add("POST", *templates)

    def put(self, *templates: str) -> Callable[[F], F]:
        """`add` for PUT."""
        return self.add("PUT", *templates)

    def delete(self, *templates: str) -> Callable[[F], F]:
        """`add` for DELETE."""
        return self.add("DELETE", *templates)

    def find(self, method: str, template: str) -> Handler | None:
        """The function that answers, or None: not modelled."""
        return self._handlers.get((method, template))

    def merge(self, others: Iterable[Routes]) -> None:
        """Take over the routes of other modules; the same method twice is a mistake."""
        for other in others:
            for (method, template), handler in other._handlers.items():
                self.add(method, template)(handler)

    def modelled(self) -> frozenset[tuple[str, str]]:
        """Every (method, template) that has a handler."""
        return frozenset(self._handlers)
