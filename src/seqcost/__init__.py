"""What a sequence model costs, from three sides that must agree: theory, code and machine."""
