"""A small world with an exact judge, and the reasoning model trained on it.

The world holds no harmful know-how: what its traces plan is "step A, then step B". What is real is
the shape: requests whose harm follows from who agreed and what for, jailbreak wrappings, reasoning
that goes along, comes back or never starts, and answers that can be checked.
"""
