"""DICOM Audit Messages: entries of the audit log for an audit repository, by syslog over TLS."""
