"""Errors of serving: one more branch of the tree in `radiograph.errors`.

RadiographError
└── ServiceError             the request is valid, but serving it failed
    ├── InvalidSettings          a setting has an invalid value
    ├── NotReady                 the model is still loading, or failed to load
    ├── Overloaded               there are too many requests; retry later
    ├── BodyTimeout              the client sends its body too slowly
    ├── DeadlineExceeded         the answer was not ready before the deadline
    ├── ClientGone               the client closed the connection
    ├── AdminOff                 administration over HTTP is switched off
    ├── NotAuthorised            the token is missing or wrong
    ├── PreconditionMissing      a change lacks its precondition
    ├── VersionRefused           a version fails verification; no alias was moved
    ├── RepositoryUnwritable     the model repository cannot be written
    ├── ProviderUnavailable      the requested hardware does not compute
    ├── DecoderFailure           decoding a file failed unexpectedly
    ├── BackendFailure           a graph failed while it ran
    ├── BackendUnavailable       a remote runtime did not answer in time; retry later
    └── JobError                 a request about a job cannot be served
        ├── JobsUnavailable          jobs are switched off, or their store does not respond
        ├── StorageFull              there is no room for the files of a job
        ├── JobNotFound              the job does not exist or was removed
        ├── ResultNotFound           the job has no such result
        ├── ResultNotReady           the result is not ready yet; retry later
        ├── KeyReused                the idempotency key belongs to another request
        ├── ListingOff               listing all jobs is switched off
        └── Interrupted              the service ended during every attempt at an item
"""

from radiograph.errors import RadiographError


class ServiceError(RadiographError):
    """The request is valid, but serving it failed."""


class InvalidSettings(ServiceError):
    """A setting has an invalid value."""


class NotReady(ServiceError):
    """The model is still loading, or failed to load."""


class Overloaded(ServiceError):
    """There are too many requests to serve in time; the client may retry later.

    Args:
        message: the resource that is exhausted.
        retry_after_s: seconds after which to retry; at least 1.
    """

    def __init__(self, message: str, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = max(1, retry_after_s)


class BodyTimeout(ServiceError):
    """The client sends its body too slowly."""


class DeadlineExceeded(ServiceError):
    """The answer was not ready before the deadline."""


class ClientGone(ServiceError):
    """The client closed the connection, so no answer can be sent."""


class AdminOff(ServiceError):
    """No token is set, so administration over HTTP is switched off."""


class NotAuthorised(ServiceError):
    """The token is missing or wrong."""


class PreconditionMissing(ServiceError):
    """A change lacks the precondition that names the state to be changed."""


class VersionRefused(ServiceError):
    """A version or the alias file fails verification; no alias was moved."""


class RepositoryUnwritable(ServiceError):
    """The model repository cannot be written; no alias was moved."""


class ProviderUnavailable(ServiceError):
    """The requested hardware does not compute."""


class DecoderFailure(ServiceError):
    """Decoding a file failed unexpectedly."""


class BackendFailure(ServiceError):
    """A graph failed while it ran."""


class BackendUnavailable(ServiceError):
    """A remote runtime did not answer in time; the client may retry later."""


class JobError(ServiceError):
    """A request about a job cannot be served."""


class JobsUnavailable(JobError):
    """Jobs are switched off, or their store does not respond."""


class StorageFull(JobError):
    """There is no room for the files of a job."""


class JobNotFound(JobError):
    """The job does not exist or was removed."""


class ResultNotFound(JobError):
    """The job has no such result."""


class ResultNotReady(JobError):
    """The result is not ready yet; the client may retry later."""


class KeyReused(JobError):
    """The idempotency key belongs to another request."""


class ListingOff(JobError):
    """Listing all jobs is switched off."""


class Interrupted(JobError):
    """The service ended during every attempt at an item."""
