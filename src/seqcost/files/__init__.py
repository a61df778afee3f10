"""Files that somebody else wrote, as plain data: read in a process of their own; nothing in them runs. No torch.

child              starts the process and takes its answer: `read(kind, path)`
started            what that process does; never imported by the program
confinement        what it may not do: take memory, time or a network, write, start anything
json_text, safetensors_header, program_archive, onnx_model    one reader per kind of file
"""
