"""The op set on the CPU, in C++: a launcher an op, of the arguments and results of the Triton launcher of that name.

Tensors are float32 on the host. What instruction set runs is chosen by the CPU, or by ``use``.
"""
