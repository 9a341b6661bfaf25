"""First floor: answers questions about radiographs over HTTP. Never imports torch.

HTTP -> api (routes, problems) -> admission -> analysis -> backends
                                                  |
HTTP <- encoders (JSON, PNG) <- AnalysisResult <--+
"""
