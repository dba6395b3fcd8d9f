"""How requests come in and answers go out: gRPC, and REST beside it."""
