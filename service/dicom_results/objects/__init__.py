"""Objects: encoders of each kind of DICOM object, and the UIDs, codes and modules they share."""
