"""The `skyraft` command: a client of the gRPC API like any other."""
