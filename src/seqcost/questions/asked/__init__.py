"""What is asked, read and checked once: lengths, sizes and words as people write them, and the request they make."""
