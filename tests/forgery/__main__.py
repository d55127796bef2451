"""`make forge`: ten million forgeries, and how many got through."""

import sys

from forgery.forger import ATTACKS, campaign
from forgery.test_forgery import most

PACKETS = 10_000_000


def main() -> int:
    """Runs every attack; 1 where one got further than its bits allow."""
    each, beyond = PACKETS // len(ATTACKS), 0
    for attack in ATTACKS:
        accepted, allowed = campaign(attack, packets=each, seed=7), most(attack, each)
        beyond += accepted > allowed
        print(
            f"{attack.name:28} {attack.bits:5.1f} bits: {accepted} of {each} counted, "
            f"{each * 2**-attack.bits:.3g} expected, {allowed} allowed",
            flush=True,
        )
    return int(beyond > 0)


if __name__ == "__main__":
    sys.exit(main())
