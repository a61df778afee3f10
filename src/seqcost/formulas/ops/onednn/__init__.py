"""Which of oneDNN's convolutions runs on a CPU, and the memory that it takes: functions of sizes, for both wings."""
