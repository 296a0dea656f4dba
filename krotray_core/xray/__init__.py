"""Xray over gRPC: the client, its typed errors, and the stubs that `make protos` generates from protos/."""
