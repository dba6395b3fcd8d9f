"""Ours and the peers, a module each, so that a process of one of them loads no other.

They take the same batches, numpy: inputs {"token_ids", "segment_ids" int32 [B, S], "mask" bool [B, S]}, and targets.
"""
