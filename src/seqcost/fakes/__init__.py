"""Tensors without memory, and what they do otherwise than the CPU. Knows neither models nor what a run costs.

faking       copies of modules and tensors that have shapes and no memory
values       fake tensors that know their values, where values are few and decide shapes
recall       shapes that are known from an equal call before
cpu_kernels  where the CPU does something else than the fake kernel says; fourier: its transforms
in_place     where a real run writes into a tensor; replays: and its gradient; callers: who called an operator
foreach      operators on lists; higher_order: operators that take functions
compiler     PyTorch's own, which fake tensors do without
parts        of a module, by name
trees, places, formats, copies: of any tensor, inside what it stands, where it lies, its format, its deep copy
threads      what holds for one thread alone
"""
