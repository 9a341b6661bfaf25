"""Errors of the gateway: one more branch below `ServiceError`.

ServiceError
└── GatewayError
    ├── InvalidConfiguration   the file of the gateway has an invalid value
    ├── GatewayUnavailable     the spool or the journal cannot be used; the sender may retry later
    ├── NotTaken               an instance is refused, and would be again
    ├── ServiceWaits           the service cannot answer at present; retry without an end
    ├── ServiceFails           the service failed at an instance; retry a few times
    ├── ServiceRefuses         the service refuses an instance, and would again
    ├── ResultConflict         a result has the UID of an earlier one, but other content
    └── WorklistError          a request to a worklist did not succeed
        ├── WorklistUnreachable    there is no usable answer at present; retry later
        ├── WorklistRefuses        the worklist refuses the request as such
        ├── WorkitemConflict       the state of a workitem, or its owner, does not allow it
        ├── WorkitemGone           the worklist has no such workitem
        ├── InvalidWorkitem        an answer is not in the DICOM JSON Model
        ├── InputsUnavailable      the inputs of a workitem cannot be retrieved at present
        └── InputsRefused          the inputs of a workitem cannot, or may not, be retrieved
"""

from service.errors import InvalidSettings, ServiceError


class GatewayError(ServiceError):
    """The gateway cannot do its work."""


class InvalidConfiguration(GatewayError, InvalidSettings):
    """The file of the gateway cannot be read, or has an invalid value."""


class GatewayUnavailable(GatewayError):
    """The spool or the journal cannot be used; the sender may retry later."""


class NotTaken(GatewayError):
    """An instance is refused, and would be again.

    Args:
        reason: the reason as one word, for metrics.
        status: status of the C-STORE response.
    """

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(f"not taken: {reason}")
        self.reason = reason
        self.status = status


class ServiceWaits(GatewayError):
    """The service cannot answer at present: it is away, loading, busy, or set up wrongly."""


class ServiceFails(GatewayError):
    """The service failed at one instance, which may or may not be at fault."""


class ServiceRefuses(GatewayError):
    """The service refuses one instance, and would again."""


class ResultConflict(GatewayError):
    """A result has the UID of an earlier one, but other content, which peers would drop."""


class WorklistError(GatewayError):
    """A request to a worklist did not succeed; the message is one word."""


class WorklistUnreachable(WorklistError):
    """There is no usable answer of a worklist at present; what it did is not known."""


class WorklistRefuses(WorklistError):
    """A worklist refuses a request as such."""


class WorkitemConflict(WorklistError):
    """The state of a workitem, or the owner of its claim, does not allow a request."""


class WorkitemGone(WorklistError):
    """A worklist has no such workitem."""


class InvalidWorkitem(WorklistError):
    """An answer of a worklist is not in the DICOM JSON Model."""


class InputsUnavailable(WorklistError):
    """The inputs of a workitem cannot be retrieved, or not be kept, at present."""


class InputsRefused(WorklistError):
    """The inputs of a workitem cannot, or may not, be retrieved."""
