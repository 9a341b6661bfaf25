"""Retrieval: the inputs of a workitem become instances of the journal.

    references --QIDO-RS, WADO-RS of the allow-list--> files --intake--> instances, linked

Each instance passes the rules as if it came by STOW-RS. One that the gateway knows already is not
analysed again: its results are those of the workitem too. Retrieving again after a crash changes
nothing.
"""

from pathlib import Path

from radiograph.errors import InputError
from service.dicom_results.kinds import MANUFACTURER
from service.dicomweb.archives import Archives
from service.dicomweb.references import Reference
from service.dicomweb.servers import Servers
from service.errors import ArchiveUnavailable, InstanceNotFound
from service.gateway.configuration import Worklist
from service.gateway.errors import InputsRefused, InputsUnavailable
from service.gateway.receiving.intake import SUCCESS, Answer, Intake, Outcome
from service.gateway.rules.rules import OUT_OF_RESOURCES
from service.gateway.storage.journal import Journal
from service.gateway.storage.workitems import Workitems
from service.gateway.worklist.dicom_json import DataSet
from service.gateway.worklist.workitem import references


class Retrieval:
    """Retrieves the inputs of workitems. Used on one event loop.

    Args:
        worklist: allow-list and limits.
        max_bytes: largest instance.
        intake: takes instances.
        journal, workitems: records.
    """

    def __init__(
        self,
        worklist: Worklist,
        max_bytes: int,
        intake: Intake,
        journal: Journal,
        workitems: Workitems,
    ) -> None:
        """Read the allow-list; nothing is connected yet.

        Raises:
            InvalidSettings: its file, or one that it names, cannot be used.
        """
        self._worklist = worklist
        self._servers = _servers(worklist.servers_file, worklist.server)
        self._archives = Archives(
            self._servers,
            worklist.timeout_s,
            max_bytes,
            worklist.max_instances,
            MANUFACTURER,
        )
        self._intake = intake
        self._journal = journal
        self._workitems = workitems

    async def close(self) -> None:
        """Close every connection."""
        await self._archives.close()

    def check(self, data_set: DataSet) -> list[Reference]:
        """Return the references of a workitem.

        Raises:
            InputsRefused: they may not, or cannot, be retrieved.
        """
        worklist = self._worklist
        return references(data_set, self._servers, worklist.server, worklist.max_instances)

    async def retrieve(self, number: int, data_set: DataSet) -> None:
        """Retrieve the inputs of a workitem and link them with it.

        Args:
            number: number of the workitem.
            data_set: the workitem.

        Raises:
            InputsRefused: they cannot be had, or none of them is taken.
            InputsUnavailable: a server does not answer, or the gateway cannot take one now.
        """
        named = self.check(data_set)
        try:
            wanted = [found for one in named for found in (await self._archives.instances(one))[0]]
            if len(wanted) > self._worklist.max_instances:
                raise InputsRefused("too_many_inputs")
            taken = [await self._take(number, reference) for reference in wanted]
        except InstanceNotFound:
            raise InputsRefused("input_missing") from None
        except InputError:
            raise InputsRefused("inputs_too_large") from None
        except ArchiveUnavailable:
            raise InputsUnavailable("inputs_unavailable") from None
        if not any(taken):
            raise InputsRefused("not_taken" if wanted else "no_inputs")

    async def _take(self, number: int, reference: Reference) -> bool:
        """Take one instance; return False if the rules do not.

        Raises:
            ArchiveUnavailable, InstanceNotFound, InputError: it cannot be had.
            InputsUnavailable: the gateway cannot take it now.
        """
        data = await self._archives.retrieve(reference)
        answer = self._intake.take(data, None, principal=f"worklist:{self._worklist.name}")
        if answer.status == OUT_OF_RESOURCES:
            raise InputsUnavailable("no_room")
        if answer.status != SUCCESS or answer.outcome is Outcome.IGNORED:
            return False
        self._link(number, answer)
        return True

    def _link(self, number: int, answer: Answer) -> None:
        if answer.instance is None:
            return
        instance = self._journal.number_of(answer.instance)
        if instance is not None:
            only = answer.outcome is Outcome.TAKEN
            self._workitems.link(number, instance, only=only)


def _servers(file: Path, default: str | None) -> Servers:
    servers = Servers.read(file)
    if default is not None:
        servers.check(Reference(server=default, study="0"))
    return servers
