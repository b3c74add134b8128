"""The papers' formulas in plain code: `verify` compares the modules with them.

A formula is a function of an input N×C×H×W and of a module's state dict, in evaluation. It shares
no code with the modules. It cuts windows out one by one, and picks sources of upsampling by index.
"""
