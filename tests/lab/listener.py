"""Accepts TCP connections on a port and closes them: `python listener.py PORT`.

Run by its path, so that it starts without the rest of the package.
"""

import socket
import sys


def main() -> None:
    """Accept for ever; says "ready" once it listens."""
    port = int(sys.argv[1])
    with socket.create_server(
        ("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=1024
    ) as server:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            connection, _ = server.accept()
            connection.close()


if __name__ == "__main__":
    main()
