"""What a question is asked of: a name, code, a configuration, a file or a live module, told apart once."""
