"""The network (torch only): geometry, encoders, LCF, ALE, decoder, checkpoints."""
