"""Rules: instance and caller -> the rule that takes it, or the reason why none does.

    own result? --> SOP class, modality, view, body part, caller of each rule --> warnings

A refusal has a status of the C-STORE service (PS3.4 annex B.2.3). Reasons that this gateway defines
use the range Cxxx, `cannot understand`.
"""

from collections.abc import Iterable

from pydicom import uid

from service.gateway.configuration import Configuration, Rule
from service.gateway.errors import NotTaken
from service.gateway.rules.instance import Instance

SOP_CLASS_NOT_SUPPORTED = 0x0122
NOT_AUTHORISED = 0x0124
OUT_OF_RESOURCES = 0xA700
DOES_NOT_MATCH_SOP_CLASS = 0xA900
CANNOT_UNDERSTAND = 0xC000
MODALITY, VIEW, BODY_PART, OWN_RESULT = 0xC101, 0xC102, 0xC103, 0xC104


def choose(configuration: Configuration, instance: Instance, caller: str | None) -> Rule:
    """Return the first rule that an instance matches.

    Args:
        configuration: the rules.
        instance: the instance.
        caller: calling AE title, or None for STOW-RS.

    Raises:
        NotTaken: no rule matches. The reason is that of the rule that came closest.
    """
    if instance.made_here:
        raise NotTaken("own_result", OWN_RESULT)
    closest = (-1, NotTaken("no_rule", CANNOT_UNDERSTAND))
    for rule in configuration.rules:
        depth, refusal = _mismatch(rule, instance, caller)
        if refusal is None:
            return rule
        if depth > closest[0]:
            closest = (depth, refusal)
    raise closest[1]


def suppressing(configuration: Configuration, warnings: Iterable[str]) -> str | None:
    """Return the first warning code that suppresses results, or None."""
    for code in warnings:
        for pattern in configuration.suppress:
            if code == pattern or (pattern.endswith("*") and code.startswith(pattern[:-1])):
                return code
    return None


def _mismatch(rule: Rule, instance: Instance, caller: str | None) -> tuple[int, NotTaken | None]:
    """Return how many conditions of a rule hold, and the refusal of the first that does not."""
    classes = {str(getattr(uid, keyword)) for keyword in rule.sop_classes}
    conditions = (
        (instance.sop_class_uid in classes, "sop_class", SOP_CLASS_NOT_SUPPORTED),
        (_allows(rule.calling_ae_titles, caller), "caller", NOT_AUTHORISED),
        (_allows(rule.modalities, instance.modality), "modality", MODALITY),
        (_allows(rule.views, instance.view), "view", VIEW),
        (_allows(rule.body_parts, instance.body_part), "body_part", BODY_PART),
    )
    for depth, (holds, reason, status) in enumerate(conditions):
        if not holds:
            return depth, NotTaken(reason, status)
    return len(conditions), None


def _allows(values: tuple[str, ...], value: str | None) -> bool:
    return not values or value in values
