"""Fixtures that several kinds of tests share."""

import hypothesis
from lab.fixtures import lab, limited_lab

__all__ = ["lab", "limited_lab"]

# A busy machine makes any example slow; the whole test has pytest's own limit.
hypothesis.settings.register_profile(
    "colotrace", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("colotrace")
