"""Evidence in the header of a DICOM object: attributes, view, sides, spacing and warnings."""
