"""A program that waits until it is ended, and one that ends by itself."""

import sys
import time


def main() -> None:
    """By its command line: so many seconds."""
    time.sleep(float(sys.argv[1]))
    sys.exit(3)
