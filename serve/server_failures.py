"""What a client is told of a request that failed, and what is counted and logged of it."""

from .server_logs import log_error
from .server_metrics import Metrics
from .wire_errors import ApiError, ErrorType


def told(error: Exception, metrics: Metrics, request_id: str, *, kind: str) -> ApiError:
    """Our own errors as they are; of any other only its id, since it may quote what was read."""
    if isinstance(error, ApiError):
        metrics.errors.labels(error.code or "other").inc()
        return error
    metrics.errors.labels(kind).inc()
    log_error(f"{kind} error", error, request_id=request_id)
    return ApiError(
        500,
        f"something failed here; look for {request_id} in the server's log",
        ErrorType.SERVER,
        code=f"{kind}_error",
    )
