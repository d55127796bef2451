"""Which colos the entries of a request mean: names, codes and selectors (ADR 21)."""
