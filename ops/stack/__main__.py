"""`python -m ops.stack up|down|status|clean`: local servers that outlive the command.

`clean` ends every stack below a state folder and removes the folder.
"""

import argparse
import shlex
import shutil
import sys
from pathlib import Path

from ops.stack.servers import Servers, StackUnavailable
from ops.stack.stack import Stack


def main() -> int:
    """Exit code: 0 done, 3 no servers to be had, 4 `status` found none running."""
    parser = argparse.ArgumentParser(
        prog="python -m ops.stack", description=__doc__.splitlines()[0]
    )
    parser.add_argument("action", choices=("up", "down", "status", "clean"))
    parser.add_argument("--state-dir", type=Path, default=Path(".layshaft/dev"))
    parser.add_argument(
        "--keep", action="store_true", help="keep the servers' data from one `up` to the next"
    )
    arguments = parser.parse_args()
    stack = Stack(arguments.state_dir, keep=arguments.keep)
    try:
        if arguments.action == "down":
            stack.stop()
            return 0
        if arguments.action == "clean":
            _clean(arguments.state_dir)
            return 0
        servers = stack.running()
        if servers is None:
            if arguments.action == "status":
                print("not running", file=sys.stderr)
                return 4
            servers = stack.start()
            stack.detach()
    except StackUnavailable as error:
        print(error, file=sys.stderr)
        return 3
    _show(servers)
    return 0


def _clean(state_dir: Path) -> None:
    for record in state_dir.glob("**/stack/stack.json"):
        Stack(record.parents[1]).stop()
    shutil.rmtree(state_dir, ignore_errors=True)


def _show(servers: Servers) -> None:
    """People read stderr; stdout is for `eval`."""
    for origin in servers.origins:
        print(f"# {origin}", file=sys.stderr)
    for name, value in servers.environment().items():
        print(f"export {name}={shlex.quote(value)}")


if __name__ == "__main__":
    sys.exit(main())
