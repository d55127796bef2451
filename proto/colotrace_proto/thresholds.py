"""How many of a bounded number of jobs one account may have, at coordinators and at agents.

Dynamic thresholds (Choudhury and Hahne, Dynamic queue length thresholds for shared-memory packet
switches, 1998): a holder may take one more while it has less than a multiple of what is free. So
one that nobody competes with gets nearly all, and something is always left for the next.
"""

FREE_TIMES_CALLER, FREE_TIMES_ACCOUNT = 8, 16
"""The multiples for a caller and an account: 89 and 94 % of all jobs if nobody else wants any."""
