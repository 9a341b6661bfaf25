"""Labels: file names that identify a radiograph to its client without naming the patient.

A name is kept only if it consists of digits, a unique identifier, or one of the words with which
modalities and exports number their files. Every other name could be that of a patient and is
dropped; the position and the SHA-256 of the file then identify it. A label is never used as a path.
"""

import re

_WORD = "chest|cr|cxr|dcm|dicom|dx|ex|export|file|i|im|image|img|instance|obj|rx|scan|slice|xr|xray"
_SAFE_NAME = re.compile(
    rf"(?:(?:{_WORD})[-_ ]?)?[0-9][0-9._-]{{0,63}}(?:\.(?:dcm|dicom|dic|ima|png|jpe?g))?",
    re.IGNORECASE | re.ASCII,
)
_MAX_CHARS = 80


def safe_filename(name: str) -> str | None:
    """Return the last component of a file name, or None if it could name a patient."""
    last = re.split(r"[/\\]", name)[-1]
    return last if len(last) <= _MAX_CHARS and _SAFE_NAME.fullmatch(last) else None
