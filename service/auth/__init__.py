"""Access control: the principal of a request, and its scopes.

    Authorization: Bearer TOKEN --> Principal(id, scopes, owner) --> routes, jobs, audit log

This room knows no HTTP; `service.api.http` calls it.
"""
