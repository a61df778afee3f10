"""What the question `calibrate` needs beside kernels: runs on record, counted and predicted."""
