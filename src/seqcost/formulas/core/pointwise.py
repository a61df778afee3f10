"""How many operations a pointwise operator counts per element: one table for the formulas and for the trace.

Convention: one operation for each add, multiply, divide, comparison, root or elementary function (exp, tanh, erf,
sin) that the definition applies to an element; a sum or mean over n elements counts n. Operations that happen once
a row (a mean's division, ε, the root of a variance) are of lower order and are not counted inside fused operators.
Copies, casts, views and masks count 0 operations; their bytes count. Published counts differ here by small factors,
which is why these lines never mix with contractions.
"""

SOFTMAX = 5  # maximum, subtract, exp, sum, divide
SOFTMAX_BACKWARD = 4  # g·y, its sum, subtract, times y
LOG_SOFTMAX = 5  # maximum, subtract, exp, sum, subtract the logarithm
LOG_SOFTMAX_BACKWARD = 4  # exp, sum of g, product, subtract

NORM = 5  # mean, centre, square, sum, divide by the deviation
NORM_BACKWARD = 8  # x̂ again (2), g·x̂ and its sum, sum of g, and the three terms of dx
SCALE = 1  # times γ
SHIFT = 1  # plus β
SCALE_BACKWARD = 2  # dγ: g·x̂ summed over rows
SHIFT_BACKWARD = 1  # dβ: g summed over rows

RELU = 1
RELU_BACKWARD = 1
TANH = 1
TANH_BACKWARD = 3  # g·(1 − y²)
SIGMOID = 1
SIGMOID_BACKWARD = 3  # g·y·(1 − y)
SILU = 2  # x·σ(x)
SILU_BACKWARD = 6  # σ(x), then g·σ·(1 + x·(1 − σ))
GELU = 5  # ½·x·(1 + erf(x/√2))
GELU_BACKWARD = 10  # the cumulative normal (4), the density (3), x·density, sum, times g
GELU_TANH = 9  # ½·x·(1 + tanh(√(2/π)·(x + 0.044715·x³)))
GELU_TANH_BACKWARD = 18

# Of complex numbers, per element
COMPLEX_ADD = 2
COMPLEX_SCALE = 2  # times a real number
COMPLEX_PRODUCT = 6  # four products, two sums

# A cell of the fused LSTM, per element of its state. The products add into the gates, so W x + U h costs nothing more.
LSTM_CELL = 4 + 3 * SIGMOID + 2 * TANH + 4  # biases; σ, tanh; f ⊙ c + i ⊙ g and o ⊙ tanh(c)
LSTM_CELL_BACKWARD = 4 + 3 * SIGMOID_BACKWARD + 2 * TANH_BACKWARD + TANH + 8  # bias sums; σ, tanh, tanh(c) again; ⊙, +

ATTENTION = SOFTMAX + 1  # inside a fused kernel, a score: scale, then softmax
ATTENTION_BACKWARD = 6  # scale, subtract the logsumexp, exp; then a·(g − δ), scaled
