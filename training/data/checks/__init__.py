"""Pictures for the checks: radiographs that are turned, mirrored or inverted, and other pictures.

    radiograph --pictures.change--> --pictures.disturb--> --preprocess--> example, labelled
    no radiograph, outliers.draw -------------------------'

Nobody has to label anything: a label is what was done to the picture.
"""
