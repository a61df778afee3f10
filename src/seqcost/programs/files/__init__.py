"""Programs from files, replayed node by node: torch.export's, and ONNX graphs in onnx/."""
