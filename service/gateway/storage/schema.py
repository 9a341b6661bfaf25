"""Tables of the journal, and the version of this schema.

    workitems n --- n instances n --- n results 1 --- n deliveries, one for each peer
    schema: the version

Times are seconds since 1970, UTC. A result belongs to the instance that it was made from first;
`made` has every instance that it was made from.
"""

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    insert,
    inspect,
    select,
    text,
    update,
)

from service.errors import StorageFull
from service.gateway.errors import GatewayUnavailable
from service.storage.database import Purpose

VERSION = 2

metadata = MetaData()

schema = Table(
    "g2d_gateway_schema",
    metadata,
    Column("only", Integer, primary_key=True),  # always 1: the table has one row
    Column("version", Integer, nullable=False),
)

instances = Table(
    "g2d_gateway_instances",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("sop_instance_uid", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("rule", String(32), nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due", Double, nullable=False),
    Column("received", Double, nullable=False),
    Column("finished", Double),
    Column("reason", String(64)),
    UniqueConstraint("sop_instance_uid", "digest"),
    Index("g2d_gateway_instances_due", "state", "due"),
)

results = Table(
    "g2d_gateway_results",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("instance", ForeignKey(instances.c.id, ondelete="CASCADE"), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("sop_class_uid", String(64), nullable=False),
    Column("sop_instance_uid", String(64), nullable=False, unique=True),
    Column("transfer_syntax", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("fallback", String(64)),  # UID of the result that a peer gets instead
    Column("study_instance_uid", String(64), nullable=False, server_default=""),
    Column("series_instance_uid", String(64), nullable=False, server_default=""),
    Index("g2d_gateway_results_instance", "instance"),
)

made = Table(
    "g2d_gateway_made",
    metadata,
    Column("instance", ForeignKey(instances.c.id, ondelete="CASCADE"), primary_key=True),
    Column("result", ForeignKey(results.c.id, ondelete="CASCADE"), primary_key=True),
    Index("g2d_gateway_made_result", "result"),
)

deliveries = Table(
    "g2d_gateway_deliveries",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("result", ForeignKey(results.c.id, ondelete="CASCADE"), nullable=False),
    Column("peer", String(32), nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("refusals", Integer, nullable=False),
    Column("due", Double, nullable=False),  # queued: next attempt; sent: end of the wait
    Column("transaction", String(64)),  # of storage commitment
    Column("reason", String(64)),
    UniqueConstraint("result", "peer"),
    Index("g2d_gateway_deliveries_due", "peer", "state", "due"),
    Index("g2d_gateway_deliveries_transaction", "transaction"),
)


workitems = Table(
    "g2d_gateway_workitems",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("worklist", String(32), nullable=False),
    Column("uid", String(64), nullable=False),
    Column("transaction", String(64), nullable=False),  # proves that the claim is ours
    Column("procedure", String(16), nullable=False),  # value of the scheduled workitem code
    Column("state", String(16), nullable=False),
    Column("resume", String(16)),  # dead: the state that it was in
    Column("attempts", Integer, nullable=False),
    Column("refusals", Integer, nullable=False),
    Column("due", Double, nullable=False),
    Column("recorded", Double, nullable=False),
    Column("started", Double),
    Column("ended", Double),
    Column("finished", Double),
    Column("reported", Integer, nullable=False),  # progress in percent that was written last
    Column("cancel_requested", Boolean, nullable=False),
    Column("reason", String(64)),  # of the cancellation, of the loss or of the end
    Column("failure", String(64)),  # of the last attempt that failed
    UniqueConstraint("worklist", "uid"),
    Index("g2d_gateway_workitems_due", "worklist", "state", "due"),
)

inputs = Table(
    "g2d_gateway_workitem_inputs",
    metadata,
    Column("workitem", ForeignKey(workitems.c.id, ondelete="CASCADE"), primary_key=True),
    Column("instance", ForeignKey(instances.c.id, ondelete="CASCADE"), primary_key=True),
    Column("only", Boolean, nullable=False),  # it was received for this workitem alone
    Index("g2d_gateway_workitem_inputs_instance", "instance"),
)


def prepare(connection: Connection) -> None:
    """Create missing tables, and those that an earlier version of the schema did not have.

    Raises:
        GatewayUnavailable: the journal has another version of the schema.
    """
    is_first = inspect(connection).has_table(results.name) and not inspect(connection).has_table(
        made.name
    )
    metadata.create_all(connection)
    found = connection.execute(select(schema.c.version)).scalar()
    if found is None:
        connection.execute(insert(schema).values(only=1, version=VERSION))
    elif found == 1 and is_first:
        _from_version_1(connection)
    elif found != VERSION:
        raise GatewayUnavailable(
            f"the journal has schema version {found}, this release supports {VERSION}"
        )


def _from_version_1(connection: Connection) -> None:
    """Add what version 2 has: study and series of results, and the instances of each."""
    for column in (results.c.study_instance_uid, results.c.series_instance_uid):
        definition = f"{column.name} VARCHAR(64) NOT NULL DEFAULT ''"
        connection.execute(text(f"ALTER TABLE {results.name} ADD COLUMN {definition}"))
    pairs = select(results.c.instance, results.c.id)
    connection.execute(insert(made).from_select(["instance", "result"], pairs))
    connection.execute(update(schema).values(version=VERSION))


PURPOSE = Purpose("the journal", "folder", GatewayUnavailable, StorageFull, prepare)
