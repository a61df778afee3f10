"""The commands, one a file: each parses, asks one question and has report/ dress the answer."""
