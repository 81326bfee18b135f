"""`python -m ops.sandbox erp|procurement --port 0 --dir DIR`: one stand-in as a process.

Listens on loopback only, tells its port on standard output and in `--port-file`, and stops at once
on SIGTERM or SIGINT. Logins come from SANDBOX_USER, SANDBOX_PASSWORD (ERP) and SANDBOX_CLIENT_ID,
SANDBOX_CLIENT_SECRET (procurement), each `demo` if unset.
"""

import argparse
import asyncio
import os
import signal
from pathlib import Path

import msgspec
from aiohttp import web

from ops.sandbox import erp, erp_work, procurement, procurement_bodies
from ops.sandbox.login import Login

HOST = "127.0.0.1"
CUT_AFTER_S = 0.1  # aiohttp takes 0 as no limit, and a held request never ends by itself


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m ops.sandbox")
    parser.add_argument("kind", choices=("erp", "procurement"))
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--dir", type=Path, required=True, help="journal and business table")
    parser.add_argument("--port-file", type=Path, help="written once the server answers")
    parser.add_argument("--seed", type=Path, help="JSON: what the system knows beforehand")
    parser.add_argument("--token-life", type=float, metavar="S", help="seconds a token is good for")
    parser.add_argument("--rate", type=float, default=procurement.RATE_PER_S, help="requests/s")
    parser.add_argument("--burst", type=int, default=procurement.BURST, help="requests on top")
    options = parser.parse_args()
    options.dir.mkdir(parents=True, exist_ok=True)
    asyncio.run(serve(make_app(options), options.kind, options.port, options.port_file))


def make_app(options: argparse.Namespace) -> web.Application:
    text = options.seed.read_bytes() if options.seed else b"{}"
    if options.kind == "erp":
        return erp.make_erp(
            options.dir,
            msgspec.json.decode(text, type=erp_work.Seed),
            Login(_secret("SANDBOX_USER"), _secret("SANDBOX_PASSWORD")),
            token_life_s=options.token_life or erp.TOKEN_LIFE_S,
        )
    return procurement.make_procurement(
        options.dir,
        msgspec.json.decode(text, type=procurement_bodies.Seed),
        Login(_secret("SANDBOX_CLIENT_ID"), _secret("SANDBOX_CLIENT_SECRET")),
        token_life_s=options.token_life or procurement.TOKEN_LIFE_S,
        rate_per_s=options.rate,
        burst=options.burst,
    )


def _secret(name: str) -> str:
    return os.environ.get(name, "demo")


async def serve(app: web.Application, kind: str, port: int, port_file: Path | None) -> None:
    """Serves until a signal to stop; requests that hang are cut."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    # A handler whose client went away is cancelled: that is how a held request ends.
    runner = web.AppRunner(
        app, handler_cancellation=True, access_log=None, shutdown_timeout=CUT_AFTER_S
    )
    await runner.setup()
    site = web.TCPSite(runner, HOST, port)
    await site.start()
    chosen = runner.addresses[0][1]
    print(f"{kind} stand-in listens on http://{HOST}:{chosen}", flush=True)
    if port_file is not None:
        # Renamed into place, so that a reader never sees half a number.
        written = port_file.with_name(f"{port_file.name}.new")
        written.write_text(f"{chosen}\n", encoding="ascii")
        written.replace(port_file)
    await stop.wait()
    await runner.cleanup()


if __name__ == "__main__":
    main()
