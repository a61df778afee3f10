"""What a trace answers: its result, what memory consists of, how an amount is worded."""
