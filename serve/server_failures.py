"""What a client is told of a request that failed, and what is counted and logged of it."""

import logging
from collections.abc import Mapping

from ..guard.upstream_errors import UpstreamError, UpstreamFault
from .server_logs import log_error, log_event
from .server_metrics import Metrics
from .wire_errors import ApiError, ErrorType

_UPSTREAM: Mapping[UpstreamFault, tuple[int, str]] = {
    UpstreamFault.UNREACHABLE: (502, "the model's server cannot be reached: try again soon"),
    UpstreamFault.UNAUTHORIZED: (502, "the model's server does not let this server in"),
    UpstreamFault.FAILED: (502, "the model's server failed: try again"),
    UpstreamFault.BUSY: (503, "the model's server is busy: try again soon"),
    UpstreamFault.STALLED: (504, "the model's server has gone silent: try again"),
    UpstreamFault.CUT_OFF: (502, "the model's server ended in the middle: try again"),
    UpstreamFault.MALFORMED: (502, "the model's server answers in a form that is not understood"),
}


def told(error: Exception, metrics: Metrics, request_id: str, *, kind: str) -> ApiError:
    """Our own errors as they are; of any other only its id, since it may quote what was read."""
    if isinstance(error, ApiError):
        metrics.errors.labels(error.code or "other").inc()
        return error
    if isinstance(error, UpstreamError):
        metrics.errors.labels(error.fault.value).inc()
        # Without the message: it may quote what the upstream quotes of the request.
        log_event(
            "upstream error", level=logging.ERROR, request_id=request_id, fault=error.fault.value
        )
        return _of_upstream(error)
    metrics.errors.labels(kind).inc()
    log_error(f"{kind} error", error, request_id=request_id)
    return ApiError(
        500,
        f"something failed here; look for {request_id} in the server's log",
        ErrorType.SERVER,
        code=f"{kind}_error",
    )


def _of_upstream(error: UpstreamError) -> ApiError:
    """Without the upstream's address, which is not the client's business. What it says of a request
    that it refuses is: the request is the client's."""
    if error.fault is UpstreamFault.REFUSED:
        reason = error.detail or "it gives no reason"
        return ApiError(
            400, f"the model's server refuses the request: {reason}", code=error.fault.value
        )
    status, message = _UPSTREAM[error.fault]
    retry_after_s = 1.0 if status == 503 else None
    return ApiError(
        status, message, ErrorType.SERVER, code=error.fault.value, retry_after_s=retry_after_s
    )
