"""Gateway between a PACS and the service: DICOM in, DICOM out, nothing lost in between.

    PACS --C-STORE | STOW-RS--> intake --> spool and journal --> service --> results in the spool
    PACS <--C-STORE | STOW-RS, storage commitment-- senders, one for each peer <--'

It is a process of its own, which talks to a running service over HTTP. `gateway.py` puts its parts
together. Identifiers of patients, studies and instances are in the journal and the spool alone,
which only the user of the gateway can read; logs and metrics have none.
"""
