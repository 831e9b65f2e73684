"""Networks from ONNX files: what their metadata or a settings file says of them, and checkpoints made of them."""
