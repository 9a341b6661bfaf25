"""Jobs: many radiographs in one request, answered in the background, lost by nothing.

    body -> spool file -> pieces (where each radiograph lies in it)
              |  fsync        |
              '---- store.accept ----> 202        one transaction: the job and its items
    runner: store.claim (lease) -> read piece -> analyse -> encode -> store.succeed | fail | retry
    store: SQLite in the jobs folder, or PostgreSQL that several processes share

An item is answered once: whoever answers must still hold the lease under which it was claimed.
No file name that could be a patient's is kept, and none is ever used as a path.
"""
