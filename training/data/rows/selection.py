"""Selection of the rows of one data set that a run uses, each image once."""

from collections.abc import Sequence

from training.config.run import DataConfig
from training.data.rows.licences import is_share_alike
from training.data.rows.reader import Row


class Selection:
    """Decides row by row; it remembers the images that it has accepted."""

    def __init__(self, data: DataConfig, licences: Sequence[str] | None = None) -> None:
        """Start with the first row of a data set.

        Args:
            data: rows that the run reads.
            licences: licence classes of the rows that are measured, whatever else their licence
                asks for; None takes the rows that `data` allows a training.
        """
        self._share_alike = data.share_alike or licences is not None
        self._licences = frozenset(data.licences if licences is None else licences)
        self._protocol = data.protocol
        self._seen: set[tuple[str, str]] = set()

    def reason_left_out(self, row: Row, *, lateral: bool = False) -> str:
        """Return why the run does not use a row, or "" if it does.

        Args:
            row: the row.
            lateral: True if the run also uses lateral views.
        """
        if row.licence_class not in self._licences:
            return f"licence class {row.licence_class}"
        if not self._share_alike and is_share_alike(row.licence):
            return "share-alike licence"
        # Under a published protocol an image may be in several splits.
        key = row.image, "" if self._protocol == "sound" else row.split
        reason = row.left_out if lateral else row.reason_left_out
        if not reason and key in self._seen:
            reason = "listed twice"
        if not reason:
            self._seen.add(key)
        return reason
