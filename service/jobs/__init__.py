"""Jobs: many radiographs in one request, answered in the background and kept across restarts.

    body -> spool file -> pieces (the place of each radiograph in that file)
              |  fsync        |
              '---- store.accept ----> 202        one transaction: the job and its items
    worker: store.claim (lease) -> read piece -> predict -> store.succeed | fail | retry
    store: SQLite in the folder of the jobs, or a PostgreSQL that several processes share

Each item is answered once: a worker must still hold the lease under which it claimed the item.
File names that could name a patient are never kept, and no file name is ever used as a path.
"""
