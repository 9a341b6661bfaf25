"""Recall of retrieval, on tables of scores whose ranks are known."""

import numpy as np

from training.metrics.retrieval import retrieval_recall


def test_a_right_answer_counts_from_its_rank_on() -> None:
    scores = np.full((12, 12), 0.1)
    np.fill_diagonal(scores, 0.5)
    scores[0, 1] = 0.9  # the report of image 0 is second
    scores[1, 2:8] = 0.9  # that of image 1 is seventh
    found = retrieval_recall(scores, np.arange(12))
    assert found["image_to_report_r1"] == 10 / 12
    assert found["image_to_report_r5"] == 11 / 12
    assert found["image_to_report_r10"] == 1.0
    assert found["report_to_image_r1"] == 5 / 12  # reports 1 to 7 find another image first
    assert found["report_to_image_r5"] == 1.0


def test_reports_that_say_the_same_are_all_right() -> None:
    scores = np.array([[0.2, 0.9, 0.1], [0.9, 0.2, 0.1], [0.1, 0.1, 0.5]])
    assert retrieval_recall(scores, np.array([7, 8, 9]))["image_to_report_r1"] == 1 / 3
    same = retrieval_recall(scores, np.array([7, 7, 9]))
    assert (same["image_to_report_r1"], same["report_to_image_r1"]) == (1.0, 1.0)


def test_a_model_that_tells_nothing_apart_has_no_recall() -> None:
    found = retrieval_recall(np.zeros((20, 20)), np.arange(20))
    assert set(found.values()) == {0.0}
