"""Settings of what speaks DICOM: results, DICOMweb and the gateway."""
