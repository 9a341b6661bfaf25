"""Forward every new radiograph of an Orthanc to the gateway, and lose none of them.

    python forward_changes.py http://127.0.0.1:8042 g2d /var/lib/forward/cursor

    GET /changes?since=CURSOR --> new instances --> POST /modalities/g2d/store --> cursor saved

Orthanc numbers its changes, so that the saved cursor continues after a stop of this program, of
Orthanc or of the gateway. The cursor moves on only after an instance was stored, or needs not be:
it is of another SOP class than radiographs have, came from the gateway itself, or was deleted.
Standard library only. ORTHANC_USER and ORTHANC_PASSWORD are sent if they are set.
"""

import base64
import json
import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

CLASSES = {
    "1.2.840.10008.5.1.4.1.1.1",  # Computed Radiography Image Storage
    "1.2.840.10008.5.1.4.1.1.1.1",  # Digital X-Ray Image Storage - For Presentation
    "1.2.840.10008.5.1.4.1.1.7",  # Secondary Capture Image Storage
}
GATEWAY_AE_TITLE = "G2D"
POLL_S = 1.0
LONGEST_S = 60.0
TIMEOUT_S = 120


class Orthanc:
    """REST interface of one Orthanc.

    Args:
        url: its address.
    """

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._headers = {"content-type": "application/json"}
        user = os.environ.get("ORTHANC_USER")
        if user:
            secret = f"{user}:{os.environ.get('ORTHANC_PASSWORD', '')}".encode()
            self._headers["authorization"] = f"Basic {base64.b64encode(secret).decode()}"

    def call(self, path: str, content: object = None) -> Any:
        """Return the answer to GET, or to POST with content.

        Raises:
            OSError: Orthanc does not answer, or answers with an error.
        """
        data = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(self._url + path, data, self._headers)  # noqa: S310
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
            text = answer.read().decode()
        try:
            return json.loads(text)
        except json.JSONDecodeError:  # metadata are plain text
            return text


def is_wanted(orthanc: Orthanc, instance: str) -> bool:
    """Return whether an instance is to be forwarded; one that was deleted is not."""
    try:
        metadata = orthanc.call(f"/instances/{instance}/metadata?expand")
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return False
        raise
    is_result = metadata.get("RemoteAET") == GATEWAY_AE_TITLE
    return not is_result and metadata.get("SopClassUid") in CLASSES


def forward(orthanc: Orthanc, modality: str, cursor: Path) -> bool:
    """Forward the next changes; return whether there may be more at once.

    Raises:
        OSError: Orthanc or the gateway cannot be reached; nothing was lost.
    """
    since = int(cursor.read_text()) if cursor.exists() else 0
    changes = orthanc.call(f"/changes?since={since}&limit=100")
    for change in changes["Changes"]:
        if change["ChangeType"] == "NewInstance" and is_wanted(orthanc, change["ID"]):
            order = {"Resources": [change["ID"]], "Synchronous": True, "Timeout": TIMEOUT_S}
            orthanc.call(f"/modalities/{modality}/store", order)
        save(cursor, change["Seq"])
    return not changes["Done"]


def save(cursor: Path, number: int) -> None:
    """Save the number of the last change that needs nothing more."""
    new = cursor.with_suffix(".new")
    with new.open("w") as file:
        file.write(str(number))
        file.flush()
        os.fsync(file.fileno())
    new.rename(cursor)


def main(url: str, modality: str, cursor: str) -> None:
    """Forward until the process is told to stop."""
    orthanc, path, failures = Orthanc(url), Path(cursor), 0
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        try:
            more = forward(orthanc, modality, path)
            failures = 0
            delay = 0.0 if more else POLL_S
        except OSError as error:  # refused, reset, timed out, or an HTTP status
            failures += 1
            delay = min(POLL_S * 2.0 ** min(failures - 1, 10), LONGEST_S)
            print(f"not forwarded, {type(error).__name__}; again in {delay:g} s", file=sys.stderr)
        time.sleep(delay)


if __name__ == "__main__":
    main(*sys.argv[1:])
