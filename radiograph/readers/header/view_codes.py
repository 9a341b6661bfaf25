"""Coded views: the kind of projection for each code of View Code Sequence (0054,0220).

Each code of CID 4010, DX View, is listed as SNOMED CT and as the older SRT value. A modifier of the
view (CID 4011) or of the patient's position (CID 20) may tell another kind.

Source: DICOM PS3.16, CID 4010, CID 4011 and CID 20.
"""

from typing import Literal, NamedTuple

ViewKind = Literal["frontal", "lateral", "oblique", "decubitus", "other"]


class CodedView(NamedTuple):
    """The view of one code.

    Attributes:
        kind: kind of projection.
        position: the equivalent value of View Position (0018,5101), or None.
    """

    kind: ViewKind
    position: str | None = None


_Table = dict[tuple[str, str], str | None]
"""View Position for each pair of SNOMED CT and SRT codes."""

_FRONTAL: _Table = {
    ("399348003", "R-10206"): "AP",
    ("272479007", "R-40888"): "PA",
    ("399033003", "R-10202"): None,  # frontal, direction of the beam not stated
}
_LATERAL: _Table = {
    ("399173006", "R-10236"): "LL",
    ("399198007", "R-10232"): "RL",
    ("399067008", "R-102CD"): "LATERAL",
    ("399352003", "R-10228"): "LATERAL",  # lateral-medial
    ("399260004", "R-10224"): "LATERAL",  # medial-lateral
    ("30730003", "G-A145"): "LATERAL",  # sagittal
}
_OBLIQUE: _Table = {
    ("399312000", "R-10208"): None,  # antero-posterior oblique
    ("399059000", "R-10216"): None,  # postero-anterior oblique
    ("399160007", "R-10204"): None,  # frontal oblique
    ("399132005", "R-10252"): None,  # frontal-oblique axial
    ("260427002", "R-40783"): None,  # lateral oblique
    ("399099002", "R-10230"): None,  # latero-medial oblique
    ("399135007", "R-10220"): "LAO",
    ("399184004", "R-10238"): None,  # left oblique
    ("399006002", "R-10212"): "LPO",
    ("260426006", "R-40782"): None,  # medial oblique
    ("399368009", "R-10226"): None,  # medio-lateral oblique
    ("399004004", "R-10246"): None,  # oblique axial
    ("399225005", "R-10250"): None,  # oblique caudo-cranial
    ("399288005", "R-10248"): None,  # oblique cranio-caudal
    ("399182000", "R-102C1"): None,  # oblique
    ("399356000", "R-40985"): "RAO",
    ("399236003", "R-10234"): None,  # right oblique
    ("399038007", "R-10210"): "RPO",
    ("399325008", "R-10254"): None,  # sagittal-oblique axial
}
_OTHER: _Table = {
    ("399242004", "R-102C6"): None,  # acanthioparietal
    ("399061009", "R-10241"): None,  # axial
    ("399196006", "R-10244"): None,  # caudo-cranial
    ("399162004", "R-10242"): None,  # cranio-caudal
    ("399335002", "R-102C4"): None,  # dorsoplantar
    ("260499007", "R-40810"): None,  # occlusal
    ("399351005", "R-102C7"): None,  # orbitoparietal
    ("399316002", "R-102C8"): None,  # parieto-orbital
    ("399272005", "R-102C5"): None,  # parietoacanthial
    ("399071006", "R-102C3"): None,  # plantodorsal
    ("399255003", "R-10256"): None,  # submentovertical
    ("399110001", "R-102C2"): None,  # tangential
    ("119376003", "G-8300"): None,  # tissue specimen
    ("399360002", "R-10257"): None,  # verticosubmental
}
_TABLES: tuple[tuple[ViewKind, _Table], ...] = (
    ("frontal", _FRONTAL),
    ("lateral", _LATERAL),
    ("oblique", _OBLIQUE),
    ("other", _OTHER),
)

CODED_VIEWS: dict[str, CodedView] = {
    code: CodedView(kind, position)
    for kind, table in _TABLES
    for codes, position in table.items()
    for code in codes
}
"""View of each code of CID 4010."""

VIEW_MODIFIERS: dict[str, ViewKind] = {
    "32185000": "decubitus",  # lateral decubitus
    "F-10318": "decubitus",
    "102536004": "decubitus",  # left lateral decubitus
    "F-10319": "decubitus",
    "102535000": "decubitus",  # right lateral decubitus
    "F-10317": "decubitus",
    "111069": "decubitus",  # crosstable: a horizontal beam through a lying patient
    "260450008": "other",  # lordotic
    "R-40799": "other",
    "399162004": "other",  # caudad
    "R-10242": "other",
    "399196006": "other",  # cephalad, as in a lordotic view
    "R-10244": "other",
    "272476000": "other",  # transthoracic
    "R-40885": "other",
}
"""Kind of projection that a modifier of the view or of the patient's position tells."""
