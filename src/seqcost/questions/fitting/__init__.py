"""What `fit` tries: a target run in one way or another, its peak at any size, the room there is, what can change."""
