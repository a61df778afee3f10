"""Attention in plain Python: lists, loops and the mathematics of a school book, with no library behind it."""

from math import exp, sqrt

Matrix = list[list[float]]


def attention(q: Matrix, k: Matrix, v: Matrix) -> Matrix:
    """softmax(q kᵀ/√K) v of one head: q [T,K], k [S,K], v [S,V]."""
    scale = 1.0 / sqrt(len(q[0]))
    out = []
    for query in q:
        scores = [scale * sum(a * b for a, b in zip(query, key, strict=True)) for key in k]
        largest = max(scores)
        weights = [exp(score - largest) for score in scores]
        total = sum(weights)
        columns = zip(*v, strict=True)
        out.append([sum(w * value for w, value in zip(weights, column, strict=True)) / total for column in columns])
    return out
