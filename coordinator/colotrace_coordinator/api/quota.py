"""The state of a rate limit."""

from dataclasses import dataclass

WINDOW_S = 300


@dataclass(frozen=True, slots=True)
class Quota:
    """`remaining` of `limit` requests, until `reset_s` from now."""

    limit: int
    remaining: int
    reset_s: int

    def headers(self) -> dict[str, str]:
        """The headers of the IETF draft on rate limits (draft-ietf-httpapi-ratelimit-headers)."""
        return {
            "Ratelimit": f'"default";r={self.remaining};t={self.reset_s}',
            "Ratelimit-Policy": f'"default";q={self.limit};w={WINDOW_S}',
        }
