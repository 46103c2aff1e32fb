"""Models that speak: recorded words, an HTTP service, or an ONNX artefact computed here."""
