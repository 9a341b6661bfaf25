"""Settings of access: keys, tokens, certificates, browsers, quotas and the audit log."""
