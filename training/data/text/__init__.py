"""Text of a row: its report, synthetic sentences, grounding phrases and zero-shot prompts.

report_sections     findings and impression of a free-text report
report_headers      known headers, in English and eight other languages
report_cleaning     cleaning of a section, and the shortest text to train on
synthetic_reports   sentences from labels, for rows without a report
phrases             wordings of what phrases name: trained, unseen and foreign ones
zero_shot_prompts   prompts of findings
token_lengths       number of tokens of each report
"""
