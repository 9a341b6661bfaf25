"""Audit log: who asked what of the service, when, and how it ended, in chains of hashes.

    request, job item, change --> Auditor --> AuditTrail --one thread, groups of entries--> store
                                                 '--> DICOM Audit Messages by syslog over TLS

An entry holds no patient attribute, phrase, file name or address: a radiograph is named by the
SHA-256 of its bytes and by a keyed pseudonym of its SOP Instance UID.
"""
