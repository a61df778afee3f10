"""ONNX graphs as modules, whose nodes run one by one with torch's functions."""
