"""Labels: file names that tell a client which radiograph is meant, and nobody who it is of.

A name is kept only when it is made of digits, a unique identifier, or one of the words that
modalities and exports number their files with. Any other may be a patient's and is dropped; the
position and the SHA-256 of a file identify it then. A label is never a path.
"""

import re

_WORD = "chest|cr|cxr|dcm|dicom|dx|ex|export|file|i|im|image|img|instance|obj|rx|scan|slice|xr|xray"
_HARMLESS = re.compile(
    rf"(?:(?:{_WORD})[-_ ]?)?[0-9][0-9._-]{{0,63}}(?:\.(?:dcm|dicom|dic|ima|png|jpe?g))?",
    re.IGNORECASE | re.ASCII,
)
_LONGEST = 80


def safe_filename(name: str) -> str | None:
    """The last part of a file name when it cannot be a patient's, else None."""
    last = re.split(r"[/\\]", name)[-1]
    return last if len(last) <= _LONGEST and _HARMLESS.fullmatch(last) else None
