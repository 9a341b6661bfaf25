"""Inference service: answers requests about radiographs over HTTP. Never imports torch.

HTTP -> api (routes, uploads) -> dataplane -> decoding, inference -> scheduling -> backends
                                                                                      |
HTTP <- api (responses, problems) <- encoders (JSON, PNG) <- AnalysisResult <---------+
"""
