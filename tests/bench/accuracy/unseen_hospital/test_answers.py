"""Truth from clinicians' answers: what is said counts, what is unclear does not."""

import pytest

from bench.accuracy.unseen_hospital.answers import FINDINGS, statements, truth


@pytest.mark.parametrize(
    ("question", "answer", "expected"),
    [
        ("Is there cardiomegaly?", "Yes", {"Cardiomegaly": True}),
        ("Is/Are the heart enlarged? -yes/no", "no", {"Cardiomegaly": False}),
        ("Is the heart a normal size?", "Yes", {"Cardiomegaly": False}),
        ("Does the heart appear normal size?", "No", {"Cardiomegaly": True}),
        ("Is the width of the cardiac silhouette normal?", "no", {"Cardiomegaly": True}),
        ("Is a pneuomothorax present?", "No", {"Pneumothorax": False}),
        ("Are there lungs free of consolidation?", "Yes", {"Consolidation": False}),
        ("Is there no evidence of blunting of the costophrenic angles?", "yes", {"angle": False}),
        ("Is the right costophrenic angle sharp?", "no", {"angle": True}),
        ("Is there a midline shift?", "No", {"trachea": False}),
        ("Is the trachea midline?", "Yes", {"trachea": False}),
        ("Is the trachea deviated from midline?", "No", {"trachea": False}),
        ("Is the mediastinum wider than normal?", "Yes", {"mediastinum": True}),
        ("Is this image normal?", "No", {"image": True}),
    ],
)
def test_yes_and_no_are_read_with_the_words_that_turn_them_round(
    question: str, answer: str, expected: dict[str, bool]
) -> None:
    assert dict(statements(question, answer)) == expected


@pytest.mark.parametrize(
    ("question", "answer", "expected"),
    [
        ("What is abnormal in this image?", "hydropneumothorax", {"Pneumothorax", "Effusion"}),
        ("Where is the pleural effusion located?", "Right side", {"Effusion"}),
        ("How many masses are there?", "one", {"Mass"}),
        ("Is the hyperinflation unilateral or bilateral?", "bilateral", {"inflation"}),
        ("Which rib is fractured?", "3rd rib", {"fracture"}),
        ("Is this lesion loculated?", "no", {"lesion"}),
        ("Are these small opacities in the right lung calcifications?", "No", {"Lung opacity"}),
        ("Is there more than one lesion present?", "No", {"lesion"}),
    ],
)
def test_what_a_question_takes_for_granted_is_present(
    question: str, answer: str, expected: set[str]
) -> None:
    assert dict(statements(question, answer)) == dict.fromkeys(expected, True)


def test_an_open_question_may_state_an_absence() -> None:
    question = "How can you tell there is no pneumothorax present?"
    assert dict(statements(question, "Lung markings")) == {"Pneumothorax": False}
    assert dict(statements("What lesions are present in the lungs?", "None")) == {"lesion": False}


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Is a pneumothorax present in the left apex?", "No"),  # elsewhere there may be one
        ("Is this a tension pneumothorax?", "No"),  # but a pneumothorax
        ("Are calcified lesions present in the lung fields?", "No"),
        ("How do you determine cardiomegaly?", "C-T ratio"),
        ("What is a pleural effusion", "Fluid in the pleural space"),
        ("Blunting of the costophrenic angles indicate what condition?", "pleural effusion"),
        ("Can this image highlight bone fractures (if present)?", "yes"),
        ("Where are the three circular opacities located?", "Stomach"),
        ("Is the heart clearly visible?", "No"),
        ("Are there EKG leads on this patient?", "Yes"),
        ("Is this patient intubated?", "no"),
        ("What is the free air near the thorax?", "No"),
        ("How many ribs are there?", "12"),
        ("", ""),
    ],
)
def test_general_limited_and_technical_questions_state_nothing(question: str, answer: str) -> None:
    assert list(statements(question, answer)) == []


def test_a_radiograph_is_abnormal_by_anything_that_is_present() -> None:
    found = truth([("Is the heart enlarged?", "no"), ("Which rib is fractured?", "3rd rib")])
    assert found.normal is False
    assert found.findings == {"Cardiomegaly": False}


def test_a_radiograph_is_normal_if_it_is_called_so_or_two_abnormalities_are_denied() -> None:
    heart, air = ("Is the heart enlarged?", "no"), ("Is there a pneumothorax?", "No")
    assert truth([heart, heart]).normal is None
    assert truth([heart, air]).normal is True
    assert truth([heart, air]).findings == dict.fromkeys(FINDINGS, False)
    assert truth([("Is this image abnormal?", "No")]).normal is True
    assert truth([]).normal is None


def test_answers_that_contradict_each_other_count_for_neither() -> None:
    heart = [("Is the heart enlarged?", "no"), ("Is there cardiomegaly?", "yes")]
    others = [("Is there a pneumothorax?", "No"), ("Is there pulmonary edema?", "No")]
    assert truth([*heart, *others]).normal is None
    assert "Cardiomegaly" not in truth([*heart, *others]).findings
    assert truth([*heart, ("Is there a mass?", "yes")]).normal is False


def test_a_consolidation_is_an_opacity_and_without_one_there_may_be_another() -> None:
    present = truth([("Is there consolidation in the lungs?", "Yes")]).findings
    assert present == {"Consolidation": True, "Lung opacity": True}
    absent = truth([("Is there consolidation in the lungs?", "No"), ("Is there a mass?", "yes")])
    assert absent.findings == {"Consolidation": False, "Mass": True}
