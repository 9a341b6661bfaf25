"""DICOM objects of results: SEG, SR, GSPS, SC and heat maps, in the study of the radiograph.

    AnalysisResult, file of the radiograph, selected objects, options
        --source--> header that is copied          --identity--> derived UIDs
        --segmentations, reports, presentation_states, secondary_captures (highdicom)--> data sets
        --composition--> patient, study, series, equipment, times, character set --> files

This is the only package that imports highdicom, which the extra `dicom-results` brings; `kinds`,
`options` and `source` do not need it. Callers write objects in a thread, never on the event loop.
"""
