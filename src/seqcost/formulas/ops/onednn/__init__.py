"""oneDNN on a CPU: which convolution runs, what it takes, and its fused LSTM. Functions of sizes, for both wings."""
