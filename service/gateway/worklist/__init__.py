"""Worklist: workitems of a UPS-RS worklist are claimed, performed and reported.

    worklist --search, retrieve--> workitem --claim--> journal
             <--progress, performed procedure, COMPLETED | CANCELED-- performer
    DICOMweb server of the allow-list --WADO-RS--> intake, as if by STOW-RS

The gateway is the Task Performer of IHE AI Workflow for Imaging (AIW-I) with the pull workflow.
"""
