"""Accepts the foreign connections on the agent's host, and never reads from them.

    python inside_listener.py ADDRESS PORT…

Prints "ready", and ends when its input closes.
"""

import selectors
import socket
import sys


def main() -> None:
    """Accept connections."""
    selector = selectors.DefaultSelector()
    for port in sys.argv[2:]:
        listener = socket.create_server((sys.argv[1], int(port)))
        selector.register(listener, selectors.EVENT_READ, data=listener)
    selector.register(sys.stdin, selectors.EVENT_READ)
    print("ready", flush=True)
    kept = []
    while True:
        for key, _ in selector.select():
            if key.data is None:
                return
            kept.append(key.data.accept())


if __name__ == "__main__":
    main()
