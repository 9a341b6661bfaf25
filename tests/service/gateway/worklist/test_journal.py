"""The journal of an earlier release is taken over, with the results that it has."""

import sqlite3
from contextlib import closing
from pathlib import Path

from service.gateway.storage.journal import Journal, journal_database
from service.gateway.storage.schema import VERSION
from service.gateway.storage.workitems import Workitems

FIRST = """
CREATE TABLE g2d_gateway_schema (only INTEGER PRIMARY KEY, version INTEGER NOT NULL);
INSERT INTO g2d_gateway_schema VALUES (1, 1);
CREATE TABLE g2d_gateway_instances (id INTEGER PRIMARY KEY, sop_instance_uid VARCHAR(64) NOT NULL,
  digest VARCHAR(64) NOT NULL, rule VARCHAR(32) NOT NULL, state VARCHAR(16) NOT NULL,
  attempts INTEGER NOT NULL, due DOUBLE NOT NULL, received DOUBLE NOT NULL, finished DOUBLE,
  reason VARCHAR(64), UNIQUE (sop_instance_uid, digest));
CREATE TABLE g2d_gateway_results (id INTEGER PRIMARY KEY,
  instance INTEGER NOT NULL REFERENCES g2d_gateway_instances (id) ON DELETE CASCADE,
  kind VARCHAR(16) NOT NULL, sop_class_uid VARCHAR(64) NOT NULL,
  sop_instance_uid VARCHAR(64) NOT NULL UNIQUE, transfer_syntax VARCHAR(64) NOT NULL,
  digest VARCHAR(64) NOT NULL, fallback VARCHAR(64));
CREATE TABLE g2d_gateway_deliveries (id INTEGER PRIMARY KEY,
  result INTEGER NOT NULL REFERENCES g2d_gateway_results (id) ON DELETE CASCADE,
  peer VARCHAR(32) NOT NULL, state VARCHAR(16) NOT NULL, attempts INTEGER NOT NULL,
  refusals INTEGER NOT NULL, due DOUBLE NOT NULL, "transaction" VARCHAR(64), reason VARCHAR(64),
  UNIQUE (result, peer));
INSERT INTO g2d_gateway_instances
  VALUES (7, '1.2.7', 'd7', 'chest', 'done', 0, 1.0, 1.0, 2.0, NULL);
INSERT INTO g2d_gateway_results VALUES (3, 7, 'seg', '1.9', '1.2.3', '1.2.840', 'd3', NULL);
INSERT INTO g2d_gateway_deliveries VALUES (1, 3, 'pacs', 'done', 0, 0, 1.0, NULL, NULL);
"""


def test_a_journal_of_version_1_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(FIRST)
    for _ in range(2):  # the second time there is nothing to do
        database = journal_database(tmp_path)
        assert Journal(database).counts().deliveries == {("pacs", "done"): 1}
        workitems = Workitems(database, "ris")
        workitems.record("1.5", "1.6", "CXR")
        (item,) = workitems.open()
        workitems.link(item.number, 7, only=False)
        (output,) = workitems.outputs(item.number)
        assert (output.peer, output.result.sop_instance_uid) == ("pacs", "1.2.3")
        assert output.result.series_instance_uid == ""
        database.close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT version FROM g2d_gateway_schema").fetchone() == (VERSION,)
