"""Distillation: from labelled steps to the streaming student that the guard runs."""
