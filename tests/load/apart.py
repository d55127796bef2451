"""Servers in processes of their own, forked from one that has imported the installed modules."""

import multiprocessing

APART = multiprocessing.get_context("forkserver")
# Modules of tests are not found there, so each server imports its own, which takes little.
APART.set_forkserver_preload(
    [
        "colotrace_coordinator.api.http.server",
        "colotrace_coordinator.api.streams",
        "colotrace_proto.rows",
        "cryptography.x509",
        "grpc.aio",
        "httpx",
        "starlette.applications",
        "uvloop",
    ]
)
