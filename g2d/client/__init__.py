"""Clients of a running service, with the methods and the results of a model in this process.

    Question, source --exchange.request--> HTTP --exchange.result--> Result
                          retries between      '-exchange.error--> the error of the service

Needs httpx (extra `client`).
"""
