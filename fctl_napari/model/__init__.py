"""What the network is (torch only): geometry, encoders, LCF, ALE, decoder, checkpoints."""
