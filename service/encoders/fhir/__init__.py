"""FHIR: a result as a Bundle of resources, in release R4B or R5."""
