"""The commands, one per file: each parses, asks one question and has report/ dress the answer."""
