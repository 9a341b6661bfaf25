"""Errors of serving: one more branch of the tree in `radiograph.errors`.

RadiographError
└── ServiceError             the request is valid, but serving it failed
    ├── InvalidSettings          a setting has an invalid value
    ├── InvalidKeyFile           the file of API keys cannot be used
    ├── NotReady                 the model is still loading, or failed to load
    ├── RetryLater               the request cannot be served now
    │   ├── Overloaded                   there are too many requests
    │   ├── TooManyRequests              one client sends more requests than it may
    │   └── IdentityProviderUnavailable  the keys of the identity provider cannot be fetched
    ├── BodyTimeout              the client sends its body too slowly
    ├── DeadlineExceeded         the answer was not ready before the deadline
    ├── ClientGone               the client closed the connection
    ├── AdminOff                 administration over HTTP is switched off
    ├── NotAuthorised            the token is missing or wrong
    ├── ScopeMissing             the token does not allow this request
    ├── PreconditionMissing      a change lacks its precondition
    ├── VersionRefused           a version fails verification; no alias was moved
    ├── RepositoryUnwritable     the model repository cannot be written
    ├── StorageFull              a disk has no room for what is to be kept
    ├── ProviderUnavailable      the requested hardware does not compute
    ├── DecoderFailure           decoding a file failed unexpectedly
    ├── NoDicomObject            no DICOM object can be made of a result
    ├── BackendFailure           a graph failed while it ran
    ├── BackendUnavailable       a remote runtime did not answer in time; retry later
    ├── AuditUnavailable         the audit log cannot be written
    ├── AuditAltered             the audit log was changed after it was written
    ├── ArchiveUnavailable       a DICOMweb server does not answer as it should; retry later
    ├── InstanceNotFound         a DICOMweb server does not have what a job refers to
    └── JobError                 a request about a job cannot be served
        ├── JobsUnavailable          jobs are switched off, or their store does not respond
        ├── JobNotFound              the job does not exist or was removed
        ├── ResultNotFound           the job has no such result
        ├── ResultNotReady           the result is not ready yet; retry later
        ├── KeyReused                the idempotency key belongs to another request
        ├── ListingOff               listing all jobs is switched off
        └── Interrupted              the service ended during every attempt at an item

radiograph.errors.MalformedInput
└── DecodersLost             a file ended every decoder process that it was given to
"""

from radiograph.errors import MalformedInput, RadiographError


class ServiceError(RadiographError):
    """The request is valid, but serving it failed."""


class InvalidSettings(ServiceError):
    """A setting has an invalid value."""


class InvalidKeyFile(ServiceError):
    """The file of API keys cannot be read, or is no file of keys."""


class NotReady(ServiceError):
    """The model is still loading, or failed to load."""


class RetryLater(ServiceError):
    """The request cannot be served now; the client may retry later.

    Args:
        message: the resource that is exhausted or away.
        retry_after_s: seconds after which to retry; at least 1.
    """

    def __init__(self, message: str, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = max(1, retry_after_s)


class Overloaded(RetryLater):
    """There are too many requests to serve in time."""


class TooManyRequests(RetryLater):
    """One client sends more requests than it may."""


class IdentityProviderUnavailable(RetryLater):
    """The public keys of the identity provider cannot be fetched."""


class BodyTimeout(ServiceError):
    """The client sends its body too slowly."""


class DeadlineExceeded(ServiceError):
    """The answer was not ready before the deadline."""


class ClientGone(ServiceError):
    """The client closed the connection, so no answer can be sent."""


class AdminOff(ServiceError):
    """No credential allows administration over HTTP."""


class NotAuthorised(ServiceError):
    """The token is missing or wrong.

    Args:
        message: the reason, without any part of the token.
        reason: the reason as one word, for metrics.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class ScopeMissing(ServiceError):
    """The token is valid, but does not allow this request."""


class PreconditionMissing(ServiceError):
    """A change lacks the precondition that names the state to be changed."""


class VersionRefused(ServiceError):
    """A version or the alias file fails verification; no alias was moved."""


class RepositoryUnwritable(ServiceError):
    """The model repository cannot be written; no alias was moved."""


class StorageFull(ServiceError):
    """A disk has no room for what is to be kept."""


class ProviderUnavailable(ServiceError):
    """The requested hardware does not compute."""


class DecoderFailure(ServiceError):
    """Decoding a file failed unexpectedly."""


class DecodersLost(MalformedInput):
    """A file ended every decoder process that it was given to.

    The file is probably at fault, but the processes may also have been killed from outside, so
    that jobs try it again later.
    """


class NoDicomObject(ServiceError):
    """No DICOM object can be made of a result, or of one of another file format."""


class BackendFailure(ServiceError):
    """A graph failed while it ran."""


class BackendUnavailable(ServiceError):
    """A remote runtime did not answer in time; the client may retry later."""


class AuditUnavailable(ServiceError):
    """The audit log cannot be written or read; the client may retry later."""


class AuditAltered(ServiceError):
    """The audit log was changed after it was written."""


class ArchiveUnavailable(ServiceError):
    """A DICOMweb server does not answer, or not as it should; the client may retry later."""


class InstanceNotFound(ServiceError):
    """A DICOMweb server does not have the study, series or instance that a job refers to."""


class JobError(ServiceError):
    """A request about a job cannot be served."""


class JobsUnavailable(JobError):
    """Jobs are switched off, or their store does not respond."""


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
