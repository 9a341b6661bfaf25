"""Prompts of zero-shot classification."""

import pytest

from training.data.downstream_sets.cxr14 import FINDINGS
from training.data.rows.dataset_files import DataError
from training.data.text.zero_shot_prompts import WORDINGS, prompts_of

CHEXPERT = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")


def test_every_finding_of_the_sets_has_prompts_of_both_kinds() -> None:
    for finding in (*FINDINGS, *CHEXPERT, "Pneumothorax", "Foreign object"):
        prompts = prompts_of(finding)
        assert len(prompts.positive) == len(prompts.negative) == 15
        assert not set(prompts.positive) & set(prompts.negative)
        assert all(" no " in f" {p} " or " not " in p for p in prompts.negative)
    assert len(set(WORDINGS["Nodule"])) == 3
    with pytest.raises(DataError, match="no prompts for 'Dextrocardia'"):
        prompts_of("Dextrocardia")
