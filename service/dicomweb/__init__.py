"""DICOMweb: radiographs of configured servers, and results back to them."""
