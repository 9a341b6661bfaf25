"""Attributes that de-identified radiographs keep: those that reading and training need.

A value is kept if it is a number, or one of the terms of its attribute.
"""

NUMBERS = frozenset(
    """
    Rows Columns SamplesPerPixel PlanarConfiguration BitsAllocated BitsStored HighBit
    PixelRepresentation NumberOfFrames PixelPaddingValue PixelPaddingRangeLimit
    SmallestImagePixelValue LargestImagePixelValue PixelSpacing ImagerPixelSpacing
    NominalScannedPixelSpacing PixelAspectRatio EstimatedRadiographicMagnificationFactor
    WindowCenter WindowWidth RescaleSlope RescaleIntercept LUTDescriptor LUTData KVP
    DistanceSourceToDetector DistanceSourceToPatient ShutterLeftVerticalEdge
    ShutterRightVerticalEdge ShutterUpperHorizontalEdge ShutterLowerHorizontalEdge
    CenterOfCircularShutter RadiusOfCircularShutter VerticesOfThePolygonalShutter
    ShutterPresentationValue LossyImageCompressionRatio
    """.split()  # noqa: SIM905 - one line for each would fill pages
)
"""Attributes of numbers."""

TERMS = {
    "Modality": "CR|DX|RG|OT",
    "PresentationIntentType": "FOR PRESENTATION|FOR PROCESSING",
    "ImageType": "ORIGINAL|DERIVED|PRIMARY|SECONDARY",
    "PhotometricInterpretation": "MONOCHROME[12]|RGB|YBR_[A-Z0-9_]+|PALETTE COLOR",
    "PresentationLUTShape": "IDENTITY|INVERSE",
    "PixelIntensityRelationship": "LIN|LOG|DISP",
    "VOILUTFunction": "LINEAR|LINEAR_EXACT|SIGMOID",
    "RescaleType": "US|HU|OD",
    "ModalityLUTType": "US|HU|OD",
    "ViewPosition": "PA|AP|LL|RL|LLD|RLD|LLO|RLO|RAO|LAO|RPO|LPO|LATERAL|LAT",
    "BodyPartExamined": "CHEST|THORAX|LUNG|RIB|RIBS|HEART|ABDOMEN|CHESTABDOMEN",
    "PatientOrientation": "[APRLHF]{1,3}",
    "PatientPosition": "[HF]F[PS]|[HF]FD[RL]",
    "Laterality": "[RLBU]",
    "ImageLaterality": "[RLBU]",
    "ShutterShape": "RECTANGULAR|CIRCULAR|POLYGONAL|BITMAP",
    "BurnedInAnnotation": "YES|NO",
    "RecognizableVisualFeatures": "YES|NO",
    "LossyImageCompression": "0[01]",
    "LossyImageCompressionMethod": "ISO_[0-9_]+",
    "ConversionType": "DV|DI|DF|WSD|SD|SI|DRW|SYN",
    "CodeValue": "[0-9]{1,12}(-[0-9])?|[A-Z]-[A-Z0-9]?[0-9]{3}[0-9A-Z]{0,2}",
    "CodingSchemeDesignator": "SCT|SRT|SNM3|DCM|99SDM",
}
"""Attributes of terms, with a pattern of those that each single value may be."""

SEQUENCES = frozenset(
    """
    ModalityLUTSequence VOILUTSequence ViewCodeSequence ViewModifierCodeSequence
    AnatomicRegionSequence PatientOrientationCodeSequence
    PatientOrientationModifierCodeSequence
    """.split()  # noqa: SIM905 - one line for each would fill pages
)
"""Sequences, with the attributes above in their items."""

UIDS = frozenset({"SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"})
"""UIDs that are replaced."""

DATES = frozenset({"StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"})
"""Dates that are shifted on request; otherwise they are removed."""
