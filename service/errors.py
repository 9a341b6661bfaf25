"""Errors of serving: one more branch of the tree in `radiograph.errors`.

RadiographError
└── ServiceError             the request is sound, serving it is what failed
    ├── InvalidSettings          a variable or option has no usable value
    ├── NotReady                 the model is still loading, or failed to load
    ├── Overloaded               every place is taken; try again later
    ├── BodyTimeout              the client sends its body too slowly
    ├── DeadlineExceeded         the answer would come later than the client waits
    ├── ClientGone               the client closed the connection; nobody to answer
    ├── AdminOff                 no token is set, so nothing can be changed over HTTP
    ├── NotAuthorised            the token is missing or wrong
    ├── PreconditionMissing      a change must say what it is a change of
    ├── VersionRefused           a version does not hold; no alias was moved to it
    ├── RepositoryUnwritable     the models directory cannot be written
    ├── ProviderUnavailable      the hardware that was asked for does not compute
    ├── DecoderFailure           reading a file failed in a way that nobody expected
    ├── BackendFailure           a graph failed while it ran
    ├── BackendUnavailable       what computes is elsewhere and cannot be reached in time
    └── JobError                 about many radiographs at once
        ├── JobsUnavailable          the store of jobs is off, or does not answer
        ├── StorageFull              no room to keep what a client sends
        ├── JobNotFound              no such job, or it was removed
        ├── ResultNotFound           the job holds no such answer
        ├── ResultNotReady           the answer is not there yet
        ├── KeyReused                the idempotency key belongs to another request
        ├── ListingOff               jobs are not listed to everybody
        └── Interrupted              the service ended each time it worked on an item
"""

from radiograph.errors import RadiographError


class ServiceError(RadiographError):
    """The request is sound, serving it is what failed."""


class InvalidSettings(ServiceError):
    """A variable or option has no usable value."""


class NotReady(ServiceError):
    """The model is still loading, or failed to load."""


class Overloaded(ServiceError):
    """There is more to do than can be done in time; the client may try again later.

    Args:
        message: what there is too much of.
        retry_after_s: when to try again.
    """

    def __init__(self, message: str, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = max(1, retry_after_s)


class BodyTimeout(ServiceError):
    """The client sends its body too slowly."""


class DeadlineExceeded(ServiceError):
    """The answer would come later than the client waits."""


class ClientGone(ServiceError):
    """The client closed the connection, so there is nobody to answer."""


class AdminOff(ServiceError):
    """No token is set, so nothing can be changed over HTTP."""


class NotAuthorised(ServiceError):
    """The token is missing or wrong."""


class PreconditionMissing(ServiceError):
    """A change must say what it is a change of."""


class VersionRefused(ServiceError):
    """A version, or the aliases, do not hold; no alias was moved."""


class RepositoryUnwritable(ServiceError):
    """The models directory cannot be written; no alias was moved."""


class ProviderUnavailable(ServiceError):
    """The hardware that was asked for does not compute."""


class DecoderFailure(ServiceError):
    """Reading a file failed in a way that nobody expected."""


class BackendFailure(ServiceError):
    """A graph failed while it ran."""


class BackendUnavailable(ServiceError):
    """What computes is elsewhere and cannot be reached in time; the client may try again."""


class JobError(ServiceError):
    """A request about many radiographs at once cannot be served."""


class JobsUnavailable(JobError):
    """The store of jobs is switched off, or does not answer."""


class StorageFull(JobError):
    """There is no room to keep what a client sends."""


class JobNotFound(JobError):
    """There is no such job, or it was removed."""


class ResultNotFound(JobError):
    """The job holds no such answer."""


class ResultNotReady(JobError):
    """The answer is not there yet; the client may ask again later."""


class KeyReused(JobError):
    """The idempotency key belongs to another request."""


class ListingOff(JobError):
    """Jobs are not listed to everybody."""


class Interrupted(JobError):
    """The service ended each time it worked on an item."""
