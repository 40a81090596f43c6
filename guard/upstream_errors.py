"""What can go wrong with an upstream, in words of its kind."""

from enum import StrEnum


class UpstreamFault(StrEnum):
    """The kinds; a word each, for metrics and for clients."""

    UNREACHABLE = "upstream_unreachable"
    """Nothing listens there, or the connection did not come about in time."""

    UNAUTHORIZED = "upstream_unauthorized"
    """It wants another API key."""

    REFUSED = "upstream_refused"
    """It answered 4xx: the request cannot be served there."""

    FAILED = "upstream_failed"
    """It answered 5xx, or sent an error in the middle of a stream."""

    BUSY = "upstream_busy"
    """It answered 429 or 503: not now."""

    STALLED = "upstream_stalled"
    """Nothing came for too long."""

    CUT_OFF = "upstream_cut_off"
    """The connection ended before the generation did."""

    MALFORMED = "upstream_malformed"
    """What came is not what the API promises."""


class UpstreamError(ConnectionError):
    """An upstream that does not do its part; the message is a sentence for the operator."""

    def __init__(self, fault: UpstreamFault, message: str, *, detail: str = "") -> None:
        """`detail` is what the upstream said itself, which may quote the request."""
        super().__init__(f"{message}: {detail}" if detail else message)
        self.fault = fault
        self.detail = detail

    @property
    def is_passing(self) -> bool:
        """Whether the same request may well succeed a moment later, or elsewhere."""
        return self.fault in _PASSING


_PASSING = frozenset(
    {
        UpstreamFault.UNREACHABLE,
        UpstreamFault.FAILED,
        UpstreamFault.BUSY,
        UpstreamFault.CUT_OFF,
    }
)
