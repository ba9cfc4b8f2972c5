"""`pve monitor export`: the cluster and the open alerts as metrics for Prometheus."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pveops.cli.answer import Answer, Written
from pveops.cli.call import Call
from pveops.cli.commands import Command
from pveops.errors import UsageError

if TYPE_CHECKING:
    from pveops.monitor.book import Book

_LEAST_S = 15.0


@click.command(
    "export",
    cls=Command,
    operation="monitor.export",
    examples=(
        "pve monitor export",
        "pve monitor export --textfile /var/lib/node_exporter/pve.prom",
        "pve monitor export --listen 127.0.0.1:9221",
    ),
)
@click.option(
    "--textfile",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write FILE, for node_exporter's textfile collector; it ends in .prom.",
)
@click.option(
    "--listen",
    metavar="ADDRESS:PORT",
    help="Answer GET /metrics there until told to end; loopback only.",
)
@click.option(
    "--every",
    "least_s",
    type=click.FloatRange(1, 3600),
    default=_LEAST_S,
    show_default=True,
    help="Seconds that one look at the cluster serves every scrape.",
)
@click.pass_obj
def command(call: Call, textfile: Path | None, listen: str | None, least_s: float) -> object:
    """Write metrics in the OpenMetrics format, once, into a file, or for whoever asks.

    A cluster that does not answer is `pve_up 0`, and its figures are left out, not repeated. Open
    alerts are those of the newest `pve monitor run`.
    """
    from pveops.cli.outfile import write_file
    from pveops.monitor.book import Book
    from pveops.monitor.metrics import make_registry, read_sample, write_openmetrics, write_text

    if textfile is not None and listen is not None:
        raise UsageError("a file or a port, not both", hint="pve monitor export --help")
    book = Book(call.wiring.store, call.wiring.connection.profile)
    if listen is not None:
        return _serve(call, book, listen, least_s)
    if textfile is not None and textfile.suffix != ".prom":
        raise UsageError(
            "the textfile collector reads files that end in .prom",
            hint=f"--textfile {textfile.with_suffix('.prom')}",
        )
    sample = read_sample(call.wiring.reader)
    registry = make_registry(sample, book.read())
    if textfile is None:
        return Written(write_openmetrics(registry).decode(), sample.code)
    write_file(textfile, write_text(registry))
    verdict = f"written: {textfile}"
    if sample.problem:
        verdict += f"; the cluster could not be read: {sample.problem}"
    return Answer(verdict, code=sample.code, data={"file": str(textfile)})


def _serve(call: Call, book: Book, listen: str, least_s: float) -> Written:
    from pveops.monitor.metrics import Sample, make_registry, read_sample
    from pveops.monitor.metrics_server import MetricsServer, SharedLook, parse_listen

    address = parse_listen(listen)
    make_registry(Sample(problem="nobody has looked yet"), book.read())
    look = SharedLook(lambda: read_sample(call.wiring.reader), call.clock, least_s)
    server = MetricsServer(address, look, book.read)

    def stop(*_: object) -> None:
        threading.Thread(target=server.close, daemon=True).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    print(f"metrics at {server.url}", file=call.stderr, flush=True)
    server.serve()
    return Written("", 0)
