"""Evaluation of a run: predictions, calibration on validation, and metrics with intervals.

trained_model -> predictions -> calibration     on the validation split
                             -> evaluate        on the test split, by `evaluators`
assessment        both, kept in the run folder
phrases           phrases whose answer is known;  zero_shot: answers without any label
"""
